"""Around every request: its trace, the limit of its body, its metrics, and 503 for writes before the epoch is
claimed.

Plain ASGI: Starlette's own middleware classes cost more than many of our endpoints.
"""

import time
from typing import Any, Protocol

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kielto.service import telemetry
from kielto.service.problems import Problem

MAX_BODY = 2 * 1024 * 1024
"""Bytes of a request's body, room for a clearance of 10,000; more is answered 413.

Streamed paths are exempt: they read line by line.
"""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SAFE = ("GET", "HEAD", "OPTIONS")


class _Claimed(Protocol):
    claimed: bool


class Edge:
    def __init__(self, app: ASGIApp, *, health: _Claimed, streamed: frozenset[str]) -> None:
        self._app, self._health, self._streamed = app, health, streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        telemetry.begin(headers.get("traceparent"))
        began = time.perf_counter()
        exchange = _Exchange(receive, send, None if scope["path"] in self._streamed else MAX_BODY)
        try:
            if problem := self._refused(scope, headers, exchange):
                await respond(problem, scope, receive, exchange.send)
            else:
                await self._handle(scope, exchange, send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = (
                scope["method"] if scope["method"] in _METHODS else "other"
            )  # a label is never the caller's
            telemetry.requests.labels(method, route, exchange.status or 500).observe(
                time.perf_counter() - began
            )

    async def _handle(self, scope: Scope, exchange: "_Exchange", send: Send) -> None:
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            if not exchange.too_large:
                raise
        if exchange.too_large:
            await respond(_too_large(), scope, exchange.receive, send)

    def _refused(self, scope: Scope, headers: Headers, exchange: "_Exchange") -> Problem | None:
        if not self._health.claimed and scope["method"] not in _SAFE:
            return Problem(
                503,
                "epoch-not-claimed",
                "The very first start is not complete: nothing is accepted yet.",
                headers={"Retry-After": "1"},
            )
        length = headers.get("content-length", "")
        return _too_large() if exchange.limit and length.isdigit() and int(length) > exchange.limit else None


class _Exchange:
    """Counts what comes in and notes what goes out; holds back an answer to a body that was cut off."""

    def __init__(self, receive: Receive, send: Send, limit: int | None) -> None:
        self._receive, self._send, self.limit = receive, send, limit
        self.status: int | None = None
        self.too_large = False
        self._received = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and self.limit is not None:
            self._received += len(message.get("body", b""))
            if self._received > self.limit:
                self.too_large = True
                return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if self.too_large:
            self.status = 413
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


async def respond(problem: Problem, scope: Scope, receive: Receive, send: Send) -> None:
    await response(problem, scope["path"])(scope, receive, send)


def response(problem: Problem, path: str) -> JSONResponse:
    body: dict[str, Any] = problem.body(path)
    return JSONResponse(body, problem.status, headers=problem.headers, media_type="application/problem+json")


def _too_large() -> Problem:
    return Problem(413, "body-too-large", f"A request's body has at most {MAX_BODY} bytes.")
