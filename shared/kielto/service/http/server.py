"""The process's HTTP server. Before there is a database it answers that it lives, and why it is not ready."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any, cast

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from kielto.errors import KieltoError
from kielto.service.http.connections import Connections
from kielto.service.http.middleware import respond
from kielto.service.http.problem import unavailable
from kielto.service.support.limits import Limits

GRACE_SECONDS = 10.0
MIGRATING = unavailable("starting", "The database is being migrated")
AWAY = unavailable("database-unavailable", "The database does not answer")


class CannotListenError(KieltoError):
    """The address is in use, or does not belong to this host."""


def _listening(host: str, port: int) -> socket.socket:
    """`::` is every address, IPv4 too; a node without IPv6 gives its IPv4 addresses. Raises OSError."""
    every = host == "::"
    if every and not socket.has_dualstack_ipv6():
        return socket.create_server(("0.0.0.0", port), backlog=2048)  # noqa: S104 - as configured
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=2048, dualstack_ipv6=every)


class HttpServer:
    """Answers /livez by itself and everything else with `reason`, until it is given the service's application.

    `setting`: what the port is called where it is set. Raises CannotListenError.
    """

    def __init__(self, host: str, port: int, limits: Limits, *, setting: str = "KIELTO_HTTP_PORT") -> None:
        self.reason = MIGRATING
        try:
            listening = _listening(host, port)
        except OSError as error:
            raise CannotListenError(f"{setting}: cannot listen on {host}:{port} ({error.strerror})") from None
        self.port: int = listening.getsockname()[1]
        self._app: ASGIApp | None = None
        self._server = _Server(
            uvicorn.Config(
                self,
                http=cast(Any, Connections(limits).protocol),
                interface="asgi3",
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=int(GRACE_SECONDS),
            )
        )
        self.serving = asyncio.create_task(self._server.serve(sockets=[listening]))
        """Ends some time after `stop()`, when what is in hand has been answered."""

    def give(self, app: ASGIApp) -> None:
        self._app = app

    def stop(self) -> None:
        self._server.should_exit = True

    async def end(self) -> None:
        """Returns when the port is free."""
        self.stop()
        await asyncio.wait({self.serving}, timeout=GRACE_SECONDS)
        self.serving.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is not None:
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            raise RuntimeError("only HTTP is served")
        elif scope["path"] == "/livez":
            await JSONResponse({"status": "ok"})(scope, receive, send)
        else:
            await respond(self.reason, scope, receive, send)


class _Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
