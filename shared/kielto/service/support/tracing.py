"""Traces (W3C Trace Context).

The trace of a request or message is kept in a context variable, stored on the mark, and restored by the
relay: the same trace on our internal topics, a fresh trace id for each company and partner, joined only in
`publications`.
"""

import os
import re
from contextvars import ContextVar

_FORMAT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current() -> str | None:
    """The traceparent of the request or message at hand: pass it to `outbox.publish`."""
    return _current.get()


def begin(traceparent: str | None) -> str:
    """Continue the given trace with a span of ours, or start one when it is missing or malformed; now
    current.
    """
    value = child(traceparent) if traceparent and _FORMAT.fullmatch(traceparent) else fresh()
    _current.set(value)
    return value


def fresh() -> str:
    drawn = os.urandom(24).hex()
    return f"00-{drawn[:32]}-{drawn[32:]}-01"


def child(traceparent: str) -> str:
    """A new span of the same trace."""
    return f"{traceparent[:36]}{os.urandom(8).hex()}{traceparent[52:]}"


def trace_id(traceparent: str) -> str:
    return traceparent[3:35]
