"""The wall clock: read here alone, and given to whoever needs the time, so that tests can set it."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""The time now, with a time zone."""


def utc_now() -> datetime:
    return datetime.now(UTC)
