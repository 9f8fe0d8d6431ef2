"""What is wrong with something given: the field and the rule, never the value."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import ValidationError

_BRANCHES = {"uuid", "NumberRef"}
"""pydantic's names for the ways in which an organisation may be named; no fields."""
_PLAIN_NAME = re.compile(r"[a-z][a-z_]{0,39}")


class Problem(NamedTuple):
    field: str
    rule: str


class Refused(Exception):
    """Nothing is changed; the problems name each field and rule."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(f"{p.field}: {p.rule}" for p in self.problems))


def problems_of(error: ValidationError) -> list[Problem]:
    """The problems of a shape. A field name that the caller made up is repeated only when it is a plain
    word.
    """
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return [Problem(_path(e["loc"], e["type"]), _rule(e["type"], e["msg"])) for e in found[:20]]


def _path(loc: tuple[int | str, ...], kind: str) -> str:
    parts = [str(x) for x in loc if x not in _BRANCHES]
    if kind == "extra_forbidden" and not _PLAIN_NAME.fullmatch(parts[-1]):
        parts[-1] = "?"
    return ".".join(parts) or "body"


def _rule(kind: str, message: str) -> str:
    match kind:
        case "extra_forbidden":
            return "is no field of a customer"
        case "json_invalid":
            return "is no JSON (RFC 8259)"
        case "uuid_parsing" | "uuid_type":
            return "is a UUID"
        case "string_pattern_mismatch":
            return "has characters or a form that this field does not take"
        case _:
            return message.removeprefix("Value error, ")
