"""Both directions of an import: its rows out of a stream of bytes, and a buffer between the import, which must not wait
for its client, and the client, which may read slowly.
"""

import asyncio
import tempfile
from codecs import BOM_UTF8
from collections.abc import AsyncIterator
from typing import Self

from kielto.service.support.limits import FIXED
from kielto.service.support.supervise import within

_IN_MEMORY = 1024 * 1024
_READ = 64 * 1024
MOST_UNREAD = FIXED.import_unread_bytes
LONGEST_UNREAD = FIXED.import_unread_seconds

Line = tuple[int, bytes | None]


async def lines(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[Line]:
    """Non-empty lines with their numbers, from 1 (empty ones are counted); None for one of more than
    `limit` bytes. A byte order mark at the very beginning, as spreadsheets write it, is skipped.
    """
    number, tail, overlong = 0, b"", False
    async for chunk in chunks:
        data = tail + chunk
        if number == 0 and not overlong:
            data = data.removeprefix(BOM_UTF8)
        *whole, tail = data.split(b"\n")
        for line in whole:
            number += 1
            if overlong or len(line) > limit:
                yield number, None
            elif line.strip():
                yield number, line
            overlong = False
        if len(tail) > limit:
            tail, overlong = b"", True
    if overlong:
        yield number + 1, None
    elif tail.strip():
        yield number + 1, tail


class ResponseNotReadError(Exception):
    """The client sends its request and does not read the response."""


class ResponseBuffer:
    """A client may send its whole request before it reads any of the response; writing into its full connection would
    then block both forever. What it has not read yet is kept here, in memory and then in an unnamed file of at most
    twice `MOST_UNREAD` bytes. Then the writer waits, and no more of the request is read, for at most `LONGEST_UNREAD`
    seconds.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by __exit__
        self._written = self._read = 0
        self._ended = False
        self._moved = asyncio.Condition()

    async def write(self, data: bytes) -> None:
        """Raises ResponseNotReadError when the reader has stood still for `LONGEST_UNREAD` seconds before a full
        spool.
        """
        async with self._moved:
            while self._written - self._read >= MOST_UNREAD:
                if await within(LONGEST_UNREAD, self._moved.wait()) is None:
                    raise ResponseNotReadError
            self._append(data)

    async def write_last(self, data: bytes) -> None:
        """Write the last line without waiting, for a client that was told that it read too slowly."""
        async with self._moved:
            self._append(data)

    def _append(self, data: bytes) -> None:
        self._forget_what_was_read()
        self._file.seek(self._written)
        self._file.write(data)
        self._written += len(data)
        self._moved.notify_all()

    def _forget_what_was_read(self) -> None:
        if self._read < MOST_UNREAD and self._read < self._written:
            return
        self._file.seek(self._read)
        unread = self._file.read()
        self._file.seek(0)
        self._file.truncate()
        self._file.write(unread)
        self._written, self._read = len(unread), 0

    async def end(self) -> None:
        async with self._moved:
            self._ended = True
            self._moved.notify_all()

    async def chunks(self) -> AsyncIterator[bytes]:
        while True:
            async with self._moved:
                await self._moved.wait_for(lambda: self._ended or self._read < self._written)
                self._file.seek(self._read)
                data = self._file.read(_READ)
                self._read += len(data)
                self._moved.notify_all()
            if not data:
                return
            yield data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
