"""A door to Kafka that can fail in one direction, or lose the very answer that says that a record was appended.

Speaks no more of Kafka's protocol than its frames: four bytes of length, then the request's API key and
correlation id (KIP-511). Runs in the harness; the broker tells the door's clients the door's port.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import StrEnum

from deploy.local import ports

_PRODUCE = 0


class ProxyMode(StrEnum):
    OPEN = "open"
    NO_ANSWERS = "no answers"
    """What the clients send arrives; nothing comes back."""
    NO_REQUESTS = "no requests"
    """Nothing that the clients send arrives; what was asked before is answered."""
    APPENDED_UNANSWERED = "appended, unanswered"
    """The broker appends; the connection breaks before its answer to a produce request comes through."""


class BrokerDoor:
    """Listens on `port`, and passes on to `behind`, where the broker listens for this door alone."""

    def __init__(self, name: str) -> None:
        self.name, self.port, self.behind = name, ports.free_port(), ports.free_port()
        self.mode = ProxyMode.OPEN
        self.swallowed = 0
        """Requests and answers that were thrown away."""
        self._server: asyncio.Server | None = None
        self._spoiled: set[asyncio.StreamWriter] = set()

    @property
    def bootstrap(self) -> str:
        return f"{ports.LOOPBACK}:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, ports.LOOPBACK, self.port)

    async def close(self) -> None:
        self.turn(ProxyMode.OPEN)
        if self._server is not None:
            self._server.close()

    def turn(self, mode: ProxyMode) -> None:
        """From now on. A connection that has lost something is broken when the door opens again."""
        self.mode = mode
        if mode is ProxyMode.OPEN:
            for writer in self._spoiled:
                writer.close()
            self._spoiled.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(ports.LOOPBACK, self.behind)
        except OSError:
            writer.close()
            return
        produced: set[bytes] = set()
        ways = {
            asyncio.create_task(self._requests(reader, back, produced)),
            asyncio.create_task(self._answers(there, writer, produced)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._spoiled.discard(writer)
            for end in (writer, back):
                end.close()

    async def _requests(
        self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, produced: set[bytes]
    ) -> None:
        async for frame in _frames(reader):
            if self.mode is ProxyMode.NO_REQUESTS:
                self._spoiled.add(back)
                self.swallowed += 1
                continue
            if int.from_bytes(frame[4:6], "big") == _PRODUCE:
                produced.add(frame[8:12])
            back.write(frame)
            await back.drain()

    async def _answers(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, produced: set[bytes]
    ) -> None:
        async for frame in _frames(reader):
            is_append = frame[4:8] in produced
            produced.discard(frame[4:8])
            if self.mode is ProxyMode.NO_ANSWERS:
                self._spoiled.add(writer)
                self.swallowed += 1
                continue
            if is_append and self.mode is ProxyMode.APPENDED_UNANSWERED:
                self.swallowed += 1
                return
            writer.write(frame)
            await writer.drain()


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Whole frames, each with its length in front; ends when the connection does."""
    with contextlib.suppress(asyncio.IncompleteReadError, OSError):
        while True:
            size = await reader.readexactly(4)
            yield size + await reader.readexactly(int.from_bytes(size, "big"))
