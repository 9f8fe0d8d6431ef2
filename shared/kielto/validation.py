"""Turns pydantic's errors into a field and a rule in plain words.

Neither pydantic's own messages, which may quote the value and Python's types, nor names that a caller made up reach an
answer, a log or a screen.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

MOST_TOLD = 20
"""How many problems of one request are reported at most."""
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")
_RULES = {
    "missing": "is required",
    "extra_forbidden": "unknown field",
    "string_type": "must be text",
    "string_unicode": "must be Unicode text",
    "string_pattern_mismatch": "has characters or a form that this field does not accept",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} items",
    "too_long": "must have at most {max_length} items",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "finite_number": "must be a finite number",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "none_required": "must be null",
}
_RULES_OF_KINDS = (
    (("int_",), "must be a whole number"),
    (("float_", "decimal_"), "must be a number"),
    (("bool_",), "must be true or false"),
    (("uuid_", "is_instance_of"), "must be a UUID"),
    (("datetime_", "timezone_", "time_"), "must be a time with a time zone (RFC 3339)"),
    (("date_",), "must be a date YYYY-MM-DD"),
    (("url_",), "must be a URL"),
    (("list_", "tuple_", "set_", "frozen_set_"), "must be a list"),
    (("dict_", "mapping_", "model_", "dataclass_"), "must be an object"),
    (("json_",), "must be JSON (RFC 8259)"),
    (("union_tag_",), "must have one of the forms that this field accepts"),
)
_OTHER = "breaks a rule of this field"


class FieldRule(NamedTuple):
    field: str
    """Dotted path, e.g. `subject.number`; empty: all that was given."""
    rule: str
    """What the value must be; never the value."""


def field_rules(errors: ValidationError | Iterable[Mapping[str, Any]]) -> list[FieldRule]:
    """The broken rules of a failed validation, in the order found, `MOST_TOLD` at most."""
    found = (
        errors.errors(include_input=False, include_url=False)
        if isinstance(errors, ValidationError)
        else errors
    )
    return [FieldRule(field(error), rule(error)) for error in list(found)[:MOST_TOLD]]


def field(error: Mapping[str, Any]) -> str:
    """The path of the field. A name that is unknown and not a plain word becomes `?`."""
    parts = [_shown(part) for part in error["loc"]]
    if parts and error["type"] == "extra_forbidden" and not _PLAIN_NAME.fullmatch(parts[-1]):
        parts[-1] = "?"
    return ".".join(parts)


def _shown(part: object) -> str:
    return str(part) if isinstance(part, int) or _NAME.fullmatch(str(part)) else "?"


def rule(error: Mapping[str, Any]) -> str:
    kind: str = error["type"]
    if kind in ("value_error", "assertion_error"):
        return str(error.get("ctx", {}).get("error") or _OTHER)  # of our own validators
    if kind in _RULES:
        return _RULES[kind].format_map(error.get("ctx", {}))
    return next((told for starts, told in _RULES_OF_KINDS if kind.startswith(starts)), _OTHER)
