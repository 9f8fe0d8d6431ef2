"""The clocks. The wall clock is read here alone and given to whoever needs the time, so that tests can set it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""The time now, with a time zone."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def _clock() -> Callable[[], float]:
    # Linux's CLOCK_MONOTONIC stands still while the machine sleeps; an open gate must not survive a suspended laptop.
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boottime is None else lambda: time.clock_gettime(boottime)


clock: Callable[[], float] = _clock()
"""Seconds since some moment: it never goes back, and counts the time that the machine is suspended."""
