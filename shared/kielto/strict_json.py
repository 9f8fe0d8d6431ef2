"""JSON (RFC 8259) in which no object names a field twice: parsers differ in which of the two counts, and a death
stated once and denied once must not depend on it (RFC 8259 section 4). Reading takes no longer than the text is long.
"""

import json
import re
from collections import Counter
from typing import Any, NoReturn

MOST_NAMES = 50
"""Of one object: more than any message of ours has. Each name that nobody knows is an error to be told, which costs
a hundred times what it costs to read it."""
_PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class NotJson(ValueError):
    """No JSON, or nested deeper or with more names than anything of ours."""


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
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise DuplicateName(name)
    if len(named) > MOST_NAMES:
        raise NotJson(f"has at most {MOST_NAMES} names in an object")
    return named


def _refuse(_: str) -> NoReturn:
    raise NotJson("is no JSON (RFC 8259)")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse)
