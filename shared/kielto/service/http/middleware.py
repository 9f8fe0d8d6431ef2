"""Around every request: its trace, the caller, the limits of its body, its metrics, and 503 for writes before the
first epoch.

FastAPI parses a body before it calls its dependencies, so the token of a request with a body is checked here. Plain
ASGI: Starlette's own middleware classes cost more than many of our endpoints.
"""

import time
from collections.abc import Mapping
from typing import Any, Protocol

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kielto.service.database.pool import whose_request
from kielto.service.http.auth import identify
from kielto.service.http.problem import ProblemError, unavailable
from kielto.service.support import metrics, tracing
from kielto.service.support.limits import Limits
from kielto.service.support.supervise import within

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SAFE = ("GET", "HEAD", "OPTIONS")
_CLOSE = {"Connection": "close"}


class _Claimed(Protocol):
    claimed: bool


class RequestMiddleware:
    def __init__(
        self, app: ASGIApp, *, prefix: str, health: _Claimed, limits: Limits, most: Mapping[str, int | None]
    ) -> None:
        """`prefix`: what is below it needs a token; `most`: by path how many bytes of a body it takes where that is not
        `limits.body_bytes`, None: any, of a stream.
        """
        self._app, self._health, self._limits, self._most = app, health, limits, most
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        if method == "HEAD":
            scope = {**scope, "method": "GET"}  # the server keeps the body back
        headers = Headers(scope=scope)
        tracing.begin(headers.get("traceparent"))
        began = time.perf_counter()
        most = self._most.get(scope["path"], self._limits.body_bytes)
        exchange = _Exchange(receive, send, self._limits, method, most)
        try:
            await self._handle(scope, headers, exchange)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            label = method if method in _METHODS else "other"  # a label is never the caller's
            metrics.REQUEST_SECONDS.labels(label, route, exchange.status or 500).observe(
                time.perf_counter() - began
            )

    async def _handle(self, scope: Scope, headers: Headers, exchange: "_Exchange") -> None:
        try:
            await self._admit(scope, headers, exchange)
        except ProblemError as problem:
            await respond(problem, scope, exchange.receive, exchange.send)
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            if exchange.refusal is None:
                raise
        if exchange.refusal is not None:
            await exchange.refuse(scope)

    async def _admit(self, scope: Scope, headers: Headers, exchange: "_Exchange") -> None:
        """Raises ProblemError."""
        safe = scope["method"] in _SAFE
        if not self._health.claimed and not safe:
            raise unavailable("epoch-not-claimed", "The first start is not complete; retry later")
        whose = ""
        if f"{scope['path']}/".startswith(f"{self._prefix}/") and (not safe or "authorization" in headers):
            whose = (await identify(Request(scope))).company or "group"
        whose_request.set(whose)
        length = headers.get("content-length", "")
        if exchange.most is not None and length.isdigit() and int(length) > exchange.most:
            raise _too_large(exchange.most)


class _Exchange:
    """Counts what comes in and how long it takes, and notes what goes out; of a body that was cut off it holds back
    the application's answer.
    """

    def __init__(self, receive: Receive, send: Send, limits: Limits, method: str, most: int | None) -> None:
        """`most`: bytes of a body; None: it is a stream."""
        self._receive, self._send, self._limits = receive, send, limits
        self.most, self._head = most, method == "HEAD"
        self.status: int | None = None
        self.refusal: ProblemError | None = None
        self._begun = False
        self._received, self._whole, self._left = 0, False, limits.body_seconds

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        message = await self._part()
        if message is None:
            self.refusal = _late(self._limits)
        elif message["type"] == "http.request":
            self._whole = not message.get("more_body", False)
            self._received += len(message.get("body", b""))
            if self.most is not None and self._received > self.most:
                self.refusal = _too_large(self.most)
        return {"type": "http.disconnect"} if message is None or self.refusal else message

    async def _part(self) -> Message | None:
        """The next message of the request; None when it did not come in time."""
        began = time.monotonic()
        try:
            return await within(self._left, self._receive())
        finally:
            if self.most is not None:
                self._left -= time.monotonic() - began

    async def send(self, message: Message) -> None:
        if self.refusal is not None and not self._begun:
            return
        if message["type"] == "http.response.start":
            self._begun, self.status = True, message["status"]
            await self._send(message)
            if self._head:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not self._head:
            await self._send(message)

    async def refuse(self, scope: Scope) -> None:
        """Unless the application had begun its answer."""
        assert self.refusal is not None
        if not self._begun:
            self.status = self.refusal.status
            await respond(self.refusal, scope, self._receive, self._send)


async def respond(problem: ProblemError, scope: Scope, receive: Receive, send: Send) -> None:
    await response(problem, scope["path"])(scope, receive, send)


def response(problem: ProblemError, path: str) -> JSONResponse:
    body: dict[str, Any] = problem.body(path)
    return JSONResponse(body, problem.status, headers=problem.headers, media_type="application/problem+json")


def _too_large(most: int) -> ProblemError:
    """The connection stays open: what the client still sends is thrown away for `linger_seconds`. Closed at once, the
    network would throw away the answer (RFC 9112, section 9.6).
    """
    return ProblemError(413, "body-too-large", f"The request's body is too large; the limit is {most} bytes")


def _late(limits: Limits) -> ProblemError:
    return ProblemError(
        408,
        "body-timeout",
        f"The request's body did not arrive within {limits.body_seconds:g} seconds",
        headers=_CLOSE,
    )
