"""JSON (RFC 8259) without repeated names in an object: parsers differ in which of the two counts (RFC 8259 section 4),
and no statement about a person may depend on that. The time to read is linear in the length of the text.
"""

import json
import re
from collections import Counter
from typing import Any, NoReturn

from kielto.errors import KieltoError

MOST_NAMES = 50
"""Names of one object, more than any message of ours has. Reporting an unknown name costs a hundred times as much as
reading it.
"""
DEPTH = 100
"""Levels of lists and objects. Python's own limit depends on the depth of the call stack, so that one function could
read what the next could not write.
"""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class NotJsonError(KieltoError, ValueError):
    """Not JSON, or nested too deeply, or with too many names."""


class HalfPairError(NotJsonError):
    """A text has half a surrogate pair (RFC 8259 section 8.2), so it is not Unicode and cannot be stored or sent.

    `content`: what was read, with a question mark in its place.
    """

    def __init__(self, content: Any) -> None:
        self.content = content
        super().__init__("texts must be Unicode (RFC 8259, section 8.2)")


class DuplicateNameError(NotJsonError):
    """An object has a name twice. `field`: the name, or `?` if it is not a plain word."""

    def __init__(self, name: str) -> None:
        self.field = name if _PLAIN_NAME.fullmatch(name) else "?"
        super().__init__(f"{self.field}: must be given only once in an object")


def loads(data: bytes | str) -> Any:
    """Parse JSON in UTF-8, without NaN, Infinity and half surrogate pairs, which Python accepts.

    Raises NotJsonError.
    """
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
