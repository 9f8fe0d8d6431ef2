"""Whoever has no token: what a connection may take, and that nobody else waits for it."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import httpx
import pytest
import uvloop
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from kielto.service.http.server import HttpServer
from kielto.service.support.limits import Limits

Pipe = tuple[asyncio.StreamReader, asyncio.StreamWriter]
HEAD = b"GET /quick HTTP/1.1\r\nhost: x\r\n"
LIMITS = Limits(header_seconds=0.5, idle_seconds=1.0, linger_seconds=0.3, unread_seconds=0.5, connections=40)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/large":
        await PlainTextResponse("x" * 50_000_000)(scope, receive, send)
    elif scope["path"] == "/slow":
        await asyncio.sleep(2.0)
        await PlainTextResponse("late")(scope, receive, send)
    else:
        await PlainTextResponse("quick")(scope, receive, send)


class Served:
    """A server in a thread of its own, on the loop that services have: its transports are not asyncio's."""

    def __init__(self, limits: Limits) -> None:
        self.longest = 0.0
        """Seconds that its loop stood still."""
        self.port = 0
        self._started, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, args=(limits,))

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)

    def _run(self, limits: Limits) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(limits))

    async def _serve(self, limits: Limits) -> None:
        front = HttpServer("127.0.0.1", 0, limits)
        front.give(application)
        await asyncio.sleep(0.05)
        self.port = front.port
        self._started.set()
        while not self._stop.is_set():
            began = time.monotonic()
            await asyncio.sleep(0.01)
            self.longest = max(self.longest, time.monotonic() - began)
        await front.end()

    async def open(self, sent: bytes = b"") -> Pipe:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        return reader, writer

    async def others_are_served(self) -> None:
        began = time.monotonic()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{self.port}/quick")).text == "quick"
        assert time.monotonic() - began < 1.0


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    with Served(getattr(request, "param", LIMITS)) as running:
        yield running


async def answer(pipe: Pipe, within: float = 3.0) -> bytes:
    """All that is said until the connection is closed."""
    async with asyncio.timeout(within):
        try:
            return await pipe[0].read()
        except ConnectionError:
            return b""
        finally:
            pipe[1].close()


async def closed(pipe: Pipe) -> None:
    pipe[1].close()


@contextmanager
def measured(most: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < most


GIANTS: dict[str, list[bytes]] = {
    "one header": [HEAD + b"x: "] + [b"y" * 65536] * 640,
    "many headers": [HEAD] + [b"a: b\r\n" * 10_000] * 40,
    "a target": [b"GET /"] + [b"y" * 65536] * 100,
    "a method": [b"G" * 65536] * 20,
    "a header name": [HEAD] + [b"y" * 65536] * 100,
    "a chunk's extension": [
        b"POST /slow HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;a=",
        *[b"y" * 65536] * 100,
    ],
    "a trailer": [
        b"POST /slow HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: ",
        *[b"y" * 65536] * 100,
    ],
    "in one piece": [HEAD + b"a: b\r\n" * 4000 + b"\r\n"],
}


@pytest.mark.parametrize("which", GIANTS)
async def test_a_giant_head_is_refused_and_stops_nobody(served: Served, which: str) -> None:
    pipe = await served.open()
    try:
        for part in GIANTS[which]:
            pipe[1].write(part)
            await pipe[1].drain()
            await asyncio.sleep(0)
    except ConnectionError:
        pass  # it was closed before all was sent
    await served.others_are_served()
    assert served.longest < 0.5, "the event loop stood still"
    said = await answer(pipe)
    assert said.startswith((b"HTTP/1.1 431 ", b"HTTP/1.1 400 ")) or said == b""
    await closed(pipe)


async def test_a_head_that_is_too_long_is_told_so(served: Served) -> None:
    said = await answer(await served.open(HEAD + b"x: " + b"y" * 20_000))
    assert said.startswith(b"HTTP/1.1 431 ")
    assert b"urn:kielto:problem:headers-too-large" in said
    whole = await answer(await served.open(HEAD + b"connection: close\r\nx: " + b"y" * 15_000 + b"\r\n\r\n"))
    assert whole.startswith(b"HTTP/1.1 200 "), "within the limit"


@pytest.mark.parametrize(
    "begun", [HEAD, b"G", b"POST / HTTP/1.1\r\ncontent-le"], ids=["head", "letter", "half"]
)
async def test_a_head_that_does_not_come_is_told_so(served: Served, begun: bytes) -> None:
    pipe = await served.open(begun)
    with measured(2.0):
        assert (await answer(pipe)).startswith(b"HTTP/1.1 408 ")


async def test_a_head_that_drips_has_no_longer(served: Served) -> None:
    reader, writer = await served.open(HEAD)

    async def drip() -> None:
        while not writer.is_closing():
            writer.write(b"x: y\r\n")
            await asyncio.sleep(0.1)

    dripping = asyncio.create_task(drip())
    with measured(2.0):
        assert (await answer((reader, writer))).startswith(b"HTTP/1.1 408 ")
    dripping.cancel()


async def test_the_next_head_on_a_connection_is_bounded_too(served: Served) -> None:
    pipe = await served.open(HEAD + b"\r\n")
    await pipe[0].readuntil(b"quick")
    pipe[1].write(HEAD)
    with measured(2.0):
        assert (await answer(pipe)).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"\r\n", HEAD + b"\r\n"], ids=["nothing", "a line", "a request"])
async def test_who_says_nothing_is_let_go(served: Served, sent: bytes) -> None:
    pipe = await served.open(sent)
    with measured(2.5):
        said = await answer(pipe)
    assert b"408" not in said


async def test_the_rest_of_a_body_that_nobody_reads_is_not_waited_for(served: Served) -> None:
    pipe = await served.open(b"POST /quick HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nhalf")
    with measured(1.0):
        assert (await answer(pipe)).startswith(b"HTTP/1.1 200 ")


async def test_a_body_that_comes_after_its_answer_keeps_the_connection(served: Served) -> None:
    pipe = await served.open(b"POST /quick HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n")
    await pipe[0].readuntil(b"quick")
    pipe[1].write(b"body")
    await asyncio.sleep(0.5)
    pipe[1].write(HEAD + b"\r\n")
    async with asyncio.timeout(1.0):
        await pipe[0].readuntil(b"quick")
    await closed(pipe)


async def test_who_does_not_read_is_let_go(served: Served) -> None:
    pipe = await served.open(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.sleep(1.5)
    assert len(await answer(pipe)) < 50_000_000


async def test_two_thousand_idle_connections_keep_nobody_out(served: Served) -> None:
    """Those that have been idle longest make room."""
    pipes = [await served.open(HEAD if n % 2 else b"") for n in range(2000)]
    await served.others_are_served()
    said = await answer(pipes[1])
    assert said.startswith(b"HTTP/1.1 408 ")
    for pipe in pipes:
        await closed(pipe)


@pytest.mark.parametrize("served", [Limits(connections=3), Limits(connections_per_address=3)], indirect=True)
async def test_where_all_are_at_work_one_more_is_refused(served: Served) -> None:
    slow = [
        await served.open(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n") for _ in range(3)
    ]
    await asyncio.sleep(0.1)
    refused = await answer(await served.open(HEAD + b"\r\n"))
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in refused.lower()
    for said in await asyncio.gather(*(answer(pipe) for pipe in slow)):
        assert said.endswith(b"late"), "those at work are finished"
    await served.others_are_served()


@pytest.mark.parametrize("nonsense", [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n"])
async def test_what_is_no_http_is_answered_as_a_problem(served: Served, nonsense: bytes) -> None:
    said: Any = await answer(await served.open(nonsense))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in said
