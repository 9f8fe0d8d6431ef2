"""Bytes between a writer that must not wait for its reader and a reader that may be slow."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

_IN_MEMORY = 1024 * 1024
_READ = 64 * 1024
MOST_UNREAD = 1024**3
"""From here on the writer does wait."""


class Spool:
    """A client may send its whole request before it reads any of the answer: answering into its full pipe
    would then stop both for ever. What it has not read yet is kept here, in memory and then in an
    unnamed file.
    """

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by __exit__
        self._written = self._read = 0
        self._ended = False
        self._moved = asyncio.Condition()

    async def write(self, data: bytes) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self._written - self._read < MOST_UNREAD)
            self._file.seek(self._written)
            self._file.write(data)
            self._written += len(data)
            self._moved.notify_all()

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
