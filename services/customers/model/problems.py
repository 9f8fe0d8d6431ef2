"""What is wrong with something given: the field and the rule, never the value."""

from collections.abc import Iterable

from pydantic import ValidationError

from kielto.errors import KieltoError
from kielto.validation import FieldRule, field_rules

_BRANCHES = {"uuid", "NumberRef", "constrained-str"}
"""pydantic's names for the ways in which another customer may be named; no fields."""


class CustomerRefusedError(KieltoError):
    """The register refuses a change and changes nothing; the problems name each field and rule."""

    def __init__(self, problems: Iterable[FieldRule]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.field}: {p.rule}" for p in self.problems))


def refused(field: str, rule: str) -> CustomerRefusedError:
    return CustomerRefusedError([FieldRule(field, rule)])


def problems_of(error: ValidationError) -> list[FieldRule]:
    """The problems of a shape."""
    found = error.errors(include_input=False, include_url=False)
    told = field_rules({**e, "loc": [x for x in e["loc"] if x not in _BRANCHES]} for e in found)
    return [FieldRule(field or "body", rule) for field, rule in told]


class HasContactPersonsError(KieltoError):
    """The organisation still has contact persons, who are to be erased first."""
