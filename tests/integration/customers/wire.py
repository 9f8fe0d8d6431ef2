"""A client that decides itself when to send and when to read, and what stands in a topic."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kielto import kafka
from kielto.events import envelope
from kielto.events.base import Event
from kielto.events.envelope import Read
from kielto.events.topics import PARTITIONS
from kielto.kafka import TopicPartition


class Upload:
    """A chunked request whose answer may be read at any time (RFC 9112, section 7.1)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, data: bytes) -> None:
        self._writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        await self._writer.drain()

    async def end(self) -> None:
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def head(self) -> int:
        """The status."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ")[1])

    async def lines(self) -> AsyncIterator[dict[str, Any]]:
        """The lines of the answer, until it ends."""
        rest = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            *whole, rest = (rest + (await self._reader.readexactly(size + 2))[:-2]).split(b"\n")
            for line in whole:
                yield json.loads(line)
        assert not rest


@asynccontextmanager
async def upload(port: int, path: str, token: str, *, receive_buffer: int = 65536) -> AsyncIterator[Upload]:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=receive_buffer)
    writer.write(
        f"POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    )
    try:
        yield Upload(reader, writer)
    finally:
        writer.close()


async def read_all(bootstrap: str, topic: str, carries: Sequence[type[Event]]) -> list[Read]:
    """Every record that stands in the topic now, in the order of each partition; no control records."""
    consumer = kafka.consumer(bootstrap)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await kafka.end_offsets(consumer, partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        found: list[Read] = []
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    read = envelope.read(carries, record.key, record.value, record.headers)
                    assert isinstance(read, Read | envelope.UnknownControl), read
                    if isinstance(read, Read):
                        found.append(read)
        return found
    finally:
        await consumer.stop()
