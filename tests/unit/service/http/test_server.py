"""A port that is taken is said in a line, before anything else is begun."""

import socket

import pytest

from kielto.service.http.server import CannotListenError, HttpServer
from kielto.service.support.limits import Limits


async def test_a_port_that_is_taken() -> None:
    said = r"^KIELTO_HTTP_PORT: cannot listen on 127\.0\.0\.1:\d+ \("
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(CannotListenError, match=said):
        HttpServer("127.0.0.1", taken.getsockname()[1], Limits())


@pytest.mark.parametrize("both", [True, False])
async def test_every_address_is_ipv4_too(monkeypatch: pytest.MonkeyPatch, both: bool) -> None:
    if not both:
        monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    front = HttpServer("::", 0, Limits())
    try:
        socket.create_connection(("127.0.0.1", front.port), 5).close()
    finally:
        await front.end()
