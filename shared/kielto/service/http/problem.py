"""Problem details (RFC 9457) with stable types `urn:kielto:problem:<slug>`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field

from kielto.errors import KieltoError
from kielto.validation import FieldRule

PREFIX = "urn:kielto:problem:"
_FIELD = re.compile(r"[a-z_]{1,30}(\.[a-z_]{1,30}|\.[0-9]{1,6}){0,6}")


class ProblemError(KieltoError):
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
        errors: Sequence[FieldRule] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {slug}")
        self.status, self.slug, self.title, self.detail = status, slug, title, detail
        self.errors, self.headers = tuple(errors), dict(headers or {})

    @property
    def rule(self) -> str:
        """What the audit trail keeps of it: its type and the fields that it names, but none that a caller made up."""
        fields = sorted({error.field for error in self.errors if _FIELD.fullmatch(error.field)})
        return f"{self.slug}: {', '.join(fields[:5])}" if fields else self.slug

    def body(self, instance: str) -> dict[str, Any]:
        """`instance` is the request's path."""
        body: dict[str, Any] = {
            "type": PREFIX + self.slug,
            "title": self.title,
            "status": self.status,
            "instance": instance,
        }
        if self.detail:
            body["detail"] = self.detail
        if self.errors:
            body["errors"] = [{"field": error.field, "rule": error.rule} for error in self.errors]
        return body


def unavailable(slug: str, title: str, seconds: int = 1) -> ProblemError:
    """503: the request is fine; retry it after so many seconds."""
    return ProblemError(503, slug, title, headers={"Retry-After": str(seconds)})


def invalid_request(*errors: FieldRule) -> ProblemError:
    """422: which fields break which rules."""
    return ProblemError(422, "invalid-request", "Invalid request", errors=errors)


class ProblemField(BaseModel):
    field: str
    rule: str


class ProblemDetails(BaseModel):
    """For the OpenAPI description: what every error response holds."""

    type: str = Field(examples=[PREFIX + "invalid-request"])
    title: str
    status: int
    detail: str | None = None
    instance: str
    errors: list[ProblemField] | None = None
