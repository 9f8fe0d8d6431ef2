"""The server's open connections: their number, and how long and how many bytes each takes before it is a request.

uvicorn bounds none of it. Its parser keeps a header until it has come whole, and each further piece costs as much as
all before: one of 40 MB stopped the event loop for seconds, with relay, consumers and beats on it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kielto.service.http.problem import ProblemError, unavailable
from kielto.service.support.limits import Limits

_MOMENT = 0.5
"""Seconds; those who find no room are not counted, and so not kept."""
_TOO_LONG = ProblemError(431, "headers-too-large", "The request's headers are too large")
_LATE = ProblemError(408, "request-timeout", "The request did not arrive in time")
_FULL = unavailable("too-many-connections", "Too many open connections: retry later")
_MALFORMED = ProblemError(400, "malformed-request", "Malformed HTTP request")


class Connections:
    """`protocol` is uvicorn's factory for each connection."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: Counter[str] = Counter()
        self._idle: dict[Connection, None] = {}
        """Connections without a running request, the longest idle first."""

    def protocol(self, *given: Any, **named: Any) -> "Connection":
        return Connection(self, *given, **named)

    def admit(self, new: "Connection") -> bool:
        """Admit a connection; return False if there is no room and no idle connection to close."""
        limits, address = self.limits, new.address
        if self._open[address] >= limits.connections_per_address and not self._end_idle(address):
            return False
        if self._open.total() >= limits.connections and not self._end_idle(None):
            return False
        self._open[address] += 1
        return True

    def left(self, one: "Connection") -> None:
        self._idle.pop(one, None)
        self._open[one.address] -= 1
        if not self._open[one.address]:
            del self._open[one.address]

    def idle(self, one: "Connection") -> None:
        self._idle[one] = None

    def busy(self, one: "Connection") -> None:
        self._idle.pop(one, None)

    def _end_idle(self, address: str | None) -> bool:
        oldest = next((one for one in self._idle if address in (None, one.address)), None)
        if oldest is not None:
            oldest.leave()
        return oldest is not None


class Connection(HttpToolsProtocol):
    """A connection that is closed with 431 or 408 when a request's head is too long or too late, and silently when
    nothing was sent.
    """

    def __init__(self, all_of_them: Connections, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._all, self._limits = all_of_them, all_of_them.limits
        self.address = ""
        self._counted = self._refused = self._at_work = False
        self._in_head = False
        self._whole = True
        """Whether the current request has arrived with its whole body."""
        self._unread = 0
        """Bytes since the parser last completed a part: a head, a trailer, or a chunk's extension."""
        self._refusal = _MALFORMED
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    # -- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.address = self.client[0] if self.client else ""
        self._counted = self._all.admit(self)
        if self._counted:
            self._wait(self._limits.header_seconds)
            self._all.idle(self)
        else:
            self._refuse(_FULL, _MOMENT)

    def connection_lost(self, exc: Exception | None) -> None:
        self._wait(None)
        self._stall(None)
        if self._counted:
            self._counted = False
            self._all.left(self)
        super().connection_lost(exc)

    def leave(self) -> None:
        """Close a connection on which nothing arrived in time, with an answer if a request had begun."""
        if self._counted:
            self._counted = False
            self._all.left(self)
        if self._in_head:
            self._answer(_LATE)
        self.transport.close()
        self._abort_after(self._limits.linger_seconds)

    def _over(self) -> bool:
        return self._refused or self.transport.is_closing()

    # -- what comes in

    def data_received(self, data: bytes) -> None:
        if self._over():
            return
        self._unread += len(data)
        super().data_received(data)
        if self._over():
            return
        if self._unread > self._limits.header_bytes:
            self._refuse(_TOO_LONG, self._limits.linger_seconds)
        elif self._timer is None and not self._at_work:
            self._wait(self._limits.header_seconds)
        if self._stalled is not None:
            self._stall(self._limits.unread_seconds)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._whole = True, False
        self._wait(None)

    def on_headers_complete(self) -> None:
        self._in_head, self._unread = False, 0
        self._wait(None)
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self._limits.header_bytes:
            self._refusal = _TOO_LONG
            raise ValueError  # the parser stops, and the refusal is sent
        self._at_work = True
        self._all.busy(self)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unread, self._whole = 0, True
        super().on_message_complete()
        if not self._at_work:
            self._wait(self._limits.idle_seconds)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # The next request may be at work by now.
        if not self.transport.is_closing() and self.cycle.response_complete:
            self._at_work = False
            self._unset_keepalive_if_required()  # one timer for all that is waited for
            self._wait(self._patience())
            self._all.idle(self)

    def _patience(self) -> float:
        """Wait for what comes next: the rest of a head, another request, or the rest of a body that nobody reads."""
        if self._in_head:
            return self._limits.header_seconds
        return self._limits.idle_seconds if self._whole else self._limits.linger_seconds

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        self._refuse(self._refusal, self._limits.linger_seconds)

    # -- who does not read

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall(self._limits.unread_seconds)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stall(None)

    # -- the ends

    def _refuse(self, problem: ProblemError, linger: float) -> None:
        """What the client still sends is read and thrown away for a while: closed at once, the network would throw
        away our answer (RFC 9112, section 9.6).
        """
        self._refused = True
        self._wait(None)
        self._answer(problem)
        self.transport.write_eof()
        self._abort_after(linger)

    def _answer(self, problem: ProblemError) -> None:
        body = orjson.dumps(problem.body(""))
        head = [
            f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
            "content-type: application/problem+json",
            f"content-length: {len(body)}",
            "connection: close",
            *(f"{name}: {value}" for name, value in problem.headers.items()),
        ]
        self.transport.write("\r\n".join([*head, "", ""]).encode() + body)

    def _abort_after(self, seconds: float) -> None:
        self.loop.call_later(seconds, self.transport.abort)

    def _wait(self, seconds: float | None) -> None:
        """Something must arrive within `seconds`; None: do not wait."""
        self._timer = self._again(self._timer, seconds, self.leave)

    def _stall(self, seconds: float | None) -> None:
        self._stalled = self._again(self._stalled, seconds, lambda: self.transport.abort())

    def _again(
        self, timer: asyncio.TimerHandle | None, seconds: float | None, then: Callable[[], Any]
    ) -> asyncio.TimerHandle | None:
        if timer is not None:
            timer.cancel()
        return None if seconds is None else self.loop.call_later(seconds, then)
