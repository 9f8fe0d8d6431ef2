"""Checks of a subscriber's settings before anything starts."""

import math
import re
from collections.abc import Mapping

from kielto.errors import InvalidValueError
from kielto.events.party import PATTERN

_IDENT = re.compile(r"[a-z][a-z0-9-]{0,39}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_BROKERS = re.compile(r"[^\s,]+:[0-9]{1,5}(,[^\s,]+:[0-9]{1,5})*")


def check(
    subscriber: str,
    party: str,
    bootstrap: str,
    point_keys: Mapping[int, object],
    country: str,
    stale_seconds: float,
) -> None:
    """Raises InvalidValueError with the setting and the rule."""
    rules = (
        (_IDENT.fullmatch(subscriber), "subscriber: must be the id of a subscriber system in group.yaml"),
        (re.fullmatch(PATTERN, party), "party: must be company.<id> or partner.<id>"),
        (_BROKERS.fullmatch(bootstrap), "bootstrap: must be host:port, several of them separated by commas"),
        (point_keys, "point_keys: must have at least one key"),
        (
            all(isinstance(number, int) for number in point_keys),
            "point_keys: each name must be the generation, a whole number",
        ),
        (
            all(isinstance(key, bytes) and len(key) == 32 for key in point_keys.values()),
            "point_keys: each key must be 32 bytes (bytes.fromhex of 64 digits)",
        ),
        (_COUNTRY.fullmatch(country), "country: must be two capital letters (ISO 3166 alpha-2)"),
        (0 < stale_seconds < math.inf, "stale_seconds: must be above 0 and finite"),
    )
    if broken := next((rule for holds, rule in rules if not holds), None):
        raise InvalidValueError(broken)
