"""Split a stream of bytes into rows, in bounded memory."""

from codecs import BOM_UTF8
from collections.abc import AsyncIterator

Line = tuple[int, bytes | None]


async def lines(chunks: AsyncIterator[bytes], limit: int) -> AsyncIterator[Line]:
    """Non-empty lines with their numbers, from 1 (empty ones are counted); None for one of more than
    `limit` bytes. A byte order mark at the very beginning, as spreadsheets write it, is skipped.
    """
    number, tail, overlong = 0, b"", False
    async for chunk in _without_mark(chunks):
        *whole, tail = (tail + chunk).split(b"\n")
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


async def _without_mark(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    head: bytes | None = b""
    async for chunk in chunks:
        if head is None:
            yield chunk
            continue
        head += chunk
        if len(head) >= len(BOM_UTF8):
            yield head.removeprefix(BOM_UTF8)
            head = None
    if head:
        yield head
