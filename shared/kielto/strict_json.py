"""JSON (RFC 8259) in which no object names a field twice: parsers differ in which of the two counts, and a death
stated once and denied once must not depend on it (RFC 8259 section 4).
"""

import json
import re
from typing import Any, NoReturn

_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class NotJson(ValueError):
    """No JSON, or nested deeper than anything of ours."""


class DuplicateName(NotJson):
    """`field`: the name that an object has twice; `?` where it is no plain word."""

    def __init__(self, name: str) -> None:
        self.field = name if _PLAIN_NAME.fullmatch(name) else "?"
        super().__init__(f"{self.field}: is given once in an object")


def loads(data: bytes | str) -> Any:
    """Raises NotJson. UTF-8; neither NaN nor Infinity, which Python would take."""
    try:
        return _DECODER.decode(data if isinstance(data, str) else data.decode())
    except NotJson:
        raise
    except (ValueError, RecursionError):
        raise NotJson("is no JSON (RFC 8259)") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        names = [name for name, _ in pairs]
        raise DuplicateName(next(name for name in names if names.count(name) > 1))
    return named


def _refuse(_: str) -> NoReturn:
    raise NotJson("is no JSON (RFC 8259)")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse)
