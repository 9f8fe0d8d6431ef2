"""Problem details (RFC 9457) with stable types `urn:kielto:problem:<slug>`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    field: str
    """Dotted path, e.g. `subject.number`."""
    rule: str
    """What it must be; never what it was."""


class Problem(Exception):
    """Raise anywhere below an endpoint; answered as application/problem+json. Nothing personal in any
    member.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {slug}")
        self.status, self.slug, self.title, self.detail = status, slug, title, detail
        self.errors, self.headers = tuple(errors), dict(headers or {})
