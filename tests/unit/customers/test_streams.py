"""Rows out of bytes, and an answer for a client that does not read."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.customers.api import streams
from services.customers.api.streams import ResponseBuffer, ResponseNotReadError, lines


async def read(chunks: list[bytes], limit: int = 10) -> list[tuple[int, bytes | None]]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [line async for line in lines(stream(), limit)]


@given(st.lists(st.binary(max_size=14), max_size=8), st.lists(st.integers(1, 30), max_size=8))
def test_lines_do_not_depend_on_how_the_bytes_come(rows: list[bytes], cuts: list[int]) -> None:
    rows = [row.replace(b"\n", b"") for row in rows]
    data, chunks = b"\n".join(rows), []
    for cut in cuts:
        chunks.append(data[:cut])
        data = data[cut:]
    expected = [(i, None if len(row) > 10 else row) for i, row in enumerate(rows, 1) if row.strip()]
    found = asyncio.run(read([*chunks, data]))
    assert [f for f in found if f[1] is None or f[1].strip()] == [
        e for e in expected if e[1] is None or e[1].strip()
    ]


async def test_an_endless_line_takes_no_memory_and_the_next_is_read() -> None:
    chunks = [b"x" * 8] * 1000 + [b"\nok\n"]
    assert await read(chunks) == [(1, None), (2, b"ok")]


async def test_a_reader_gets_all_however_late_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_IN_MEMORY", 100)
    data = [bytes([i]) * 1000 for i in range(256)]
    with ResponseBuffer() as kept:
        for part in data:
            await kept.write(part)
        await kept.end()
        assert b"".join([chunk async for chunk in kept.chunks()]) == b"".join(data)


async def test_a_writer_far_ahead_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_UNREAD", 10)
    with ResponseBuffer() as kept:
        await kept.write(b"x" * 10)
        writing = asyncio.create_task(kept.write(b"y"))
        await asyncio.sleep(0.01)
        assert not writing.done()
        chunks = kept.chunks()
        assert await anext(chunks) == b"x" * 10
        await writing
        assert await anext(chunks) == b"y"
        await kept.end()
        assert [chunk async for chunk in chunks] == []


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4, 20])
async def test_a_byte_order_mark_is_no_part_of_the_first_row(cut: int) -> None:
    data = b'\xef\xbb\xbf{"a":1}\n{"b":2}'
    assert await read([data[:cut], data[cut:]]) == [(1, b'{"a":1}'), (2, b'{"b":2}')]
    for rest in (b"\xef\xbb\xbf", b"\xef", b""):
        marked = b"x\n\xef\xbb\xbfy" + rest
        assert await read([marked]) == [(1, b"x"), (2, b"\xef\xbb\xbfy" + rest)]
    assert await read([b"\xef\xbb\xbf"]) == []


async def test_a_client_that_reads_nothing_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_UNREAD", 10)
    monkeypatch.setattr(streams, "LONGEST_UNREAD", 0.05)
    with ResponseBuffer() as kept:
        await kept.write(b"x" * 10)
        with pytest.raises(ResponseNotReadError):
            await kept.write(b"y")
        await kept.write_last(b"z")
        await kept.end()
        assert b"".join([chunk async for chunk in kept.chunks()]) == b"x" * 10 + b"z"


async def test_what_was_read_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the report, and however slowly it is read, the file stays small."""
    monkeypatch.setattr(streams, "MOST_UNREAD", 100)
    monkeypatch.setattr(streams, "_IN_MEMORY", 10)
    monkeypatch.setattr(streams, "_READ", 30)
    with ResponseBuffer() as kept:
        chunks, read_so_far, written = kept.chunks(), b"", b""
        for i in range(500):
            part = bytes([i % 256]) * 25
            await kept.write(part)
            written += part
            if i > 1:  # stays behind, and never catches up
                read_so_far += await anext(chunks)
            size = kept._file.seek(0, 2)
            assert size <= 225
        await kept.end()
        assert read_so_far + b"".join([chunk async for chunk in chunks]) == written
