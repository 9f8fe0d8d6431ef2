"""The two clocks: `clock` measures waits, probes and clearances; `utc_now` is what messages say."""

import time
from collections.abc import Callable
from datetime import UTC, datetime


def _clock() -> Callable[[], float]:
    # Linux's CLOCK_MONOTONIC stands still while the machine sleeps; an open gate must not survive a suspended laptop.
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boottime is None else lambda: time.clock_gettime(boottime)


clock: Callable[[], float] = _clock()
"""Seconds since some moment: it never goes back, and counts the time that the machine is suspended."""


def utc_now() -> datetime:
    return datetime.now(UTC)
