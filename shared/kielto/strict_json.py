"""JSON (RFC 8259) in which no object names a field twice: parsers differ in which of the two counts, and a death
stated once and denied once must not depend on it (RFC 8259 section 4). Reading takes no longer than the text is long.
"""

import json
import re
from collections import Counter
from typing import Any, NoReturn

from kielto.errors import KieltoError

MOST_NAMES = 50
"""Of one object: more than any message of ours has. Each name that nobody knows is an error to be told, which costs
a hundred times what it costs to read it."""
DEPTH = 100
"""Levels of lists and objects. Python's own limit depends on what is on the stack already: what one function could
still read, the next could not write.
"""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class NotJsonError(KieltoError, ValueError):
    """No JSON, or nested deeper or with more names than anything of ours."""


class HalfPairError(NotJsonError):
    """A text has half a surrogate pair (RFC 8259 section 8.2): it is no Unicode, and nothing stores or sends it on.
    `content`: what was read, with a question mark in its place.
    """

    def __init__(self, content: Any) -> None:
        self.content = content
        super().__init__("texts must be Unicode (RFC 8259, section 8.2)")


class DuplicateNameError(NotJsonError):
    """`field`: the name that an object has twice; `?` where it is no plain word."""

    def __init__(self, name: str) -> None:
        self.field = name if _PLAIN_NAME.fullmatch(name) else "?"
        super().__init__(f"{self.field}: must be given only once in an object")


def loads(data: bytes | str) -> Any:
    """Raises NotJsonError. UTF-8; neither NaN, Infinity nor half a surrogate pair, which Python would take."""
    try:
        text = data if isinstance(data, str) else data.decode()
        value = _DECODER.decode(text)
    except NotJsonError:
        raise
    except (ValueError, RecursionError):
        raise NotJsonError(_NO_JSON) from None
    if text.count("[") + text.count("{") > DEPTH and _is_deep(value):
        raise NotJsonError(f"must be nested at most {DEPTH} levels deep")
    if _SURROGATE.search(text):
        _must_be_unicode(value)
    return value


def _must_be_unicode(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise HalfPairError(_DECODER.decode(text.encode(errors="replace").decode())) from None


def _is_deep(value: Any) -> bool:
    level = [value] if isinstance(value, list | dict) else []
    for _ in range(DEPTH):
        parts = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for part in parts for inner in part if isinstance(inner, list | dict)]
    return bool(level)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(pairs)
    if len(named) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise DuplicateNameError(name)
    if len(named) > MOST_NAMES:
        raise NotJsonError(f"must have at most {MOST_NAMES} names in an object")
    return named


def _refuse(_: str) -> NoReturn:
    raise NotJsonError(_NO_JSON)


_NO_JSON = "must be JSON (RFC 8259)"
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse)
