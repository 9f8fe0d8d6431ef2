"""Records that no client of ours writes, as a broker may take them: read as it reads them, or stood in for."""

import struct
from typing import Any

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kielto.events import envelope
from kielto.events.envelope import Unreadable
from kielto.events.messages import Decision
from kielto.kafka.aiokafka_patches.undecodable_header import GuardedRecords

_HEADER = struct.Struct(">qiibIhiqqqhii")
BROKEN_NAME = ((b"\xff", b"1"),)


def number(value: int) -> bytes:
    """Zigzag, seven bits a byte."""
    left, out = (value << 1 ^ value >> 63) & (1 << 64) - 1, bytearray()
    while left > 0x7F:
        out.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*out, left])


def sized(part: bytes | None, size: int | None = None) -> bytes:
    length = -1 if part is None else len(part)
    return number(length if size is None else size) + (part or b"")


def record(
    place: int,
    key: bytes | None = b"k",
    headers: tuple[tuple[bytes, bytes], ...] = ((b"h", b"1"),),
    *,
    attributes: bytes = b"\0",
    said: int = 0,
    sizes: tuple[int | None, int | None] = (None, None),
    count: int | None = None,
) -> bytes:
    """`said`: by how much its length is wrong."""
    named = b"".join(sized(name) + sized(value) for name, value in headers)
    content = attributes + number(0) + number(place) + sized(key, sizes[0]) + sized(b"{", sizes[1])
    content += number(len(headers) if count is None else count) + named
    return number(len(content) + said) + content


def batch(*records: bytes, first: int = 7, count: int | None = None, codec: int = 0) -> bytes:
    content = b"".join(records)
    if codec:
        content = bytes(cramjam.zstd.compress(content))
    n = len(records) if count is None else count
    header = (first, len(content) + 49, -1, 2, 0, codec, max(len(records), 1) - 1, 5, 9, -1, -1, -1, n)
    return _HEADER.pack(*header) + content


def read(raw: bytes) -> list[Any]:
    """As the fetcher: what comes again at an offset that it had is passed over."""
    taken = GuardedRecords(raw).next_batch()
    assert taken is not None
    found: list[Any] = []
    for one in taken:
        if not found or one.offset > found[-1].offset:
            found.append(one)
    return found


both = pytest.mark.parametrize("codec", [0, 4])


@both
@pytest.mark.parametrize("attributes", [0x01, 0x7F, 0x80, 0xFF])
@pytest.mark.parametrize("headers", [((b"h", b"1"),), BROKEN_NAME])
def test_attributes_are_one_byte_and_shift_nothing(attributes: int, headers: Any, codec: int) -> None:
    """aiokafka takes what follows the byte 0x80 for a part of it: offset 1000 of a record at 1, a key of 2^62 bytes."""
    keys = number(1000), number(1 << 62), number((1 << 31) - 1)
    records = [
        record(0, headers=headers),
        *(record(n, key, attributes=bytes([attributes])) for n, key in enumerate(keys, 1)),
    ]
    found = read(batch(*records, codec=codec))
    assert [(one.offset, one.key, one.value) for one in found] == [
        (7 + n, key, b"{") for n, key in enumerate((b"k", *keys))
    ]


@both
@pytest.mark.parametrize(
    "spoilt",
    [
        record(1, said=3),
        record(1, said=-3),
        record(1, count=2),
        record(1, count=-1),
        record(1, sizes=(1 << 40, None)),
        record(1, sizes=(None, 1 << 62)),
        record(1000),
        record(-9),
        b"\xff" * 40,
    ],
)
@pytest.mark.parametrize("headers", [((b"h", b"1"),), BROKEN_NAME])
def test_what_cannot_be_told_apart_is_one_stand_in_at_the_end_of_its_batch(
    spoilt: bytes, headers: Any, codec: int
) -> None:
    found = read(batch(record(0, headers=headers), spoilt, record(2), codec=codec))
    assert (found[0].offset, found[0].key) == (7, b"k")
    assert found[-1].offset == 9
    seen = envelope.read((Decision,), found[-1].key, found[-1].value, found[-1].headers)
    assert seen == Unreadable("batch: its records cannot be told apart")


@both
def test_what_follows_the_last_record_that_is_counted_hides_none(codec: int) -> None:
    for count, content in ((2, b"\0\0"), (3, b"")):
        found = read(batch(record(0), record(1), content, count=count, codec=codec))
        assert [one.key for one in found[:2]] == [b"k", b"k"]


@given(st.binary(max_size=60), st.integers(-1, 4), st.sampled_from([0, 4]))
def test_no_bytes_end_the_process_or_hold_a_reader_up(content: bytes, count: int, codec: int) -> None:
    raw = batch(record(0, headers=BROKEN_NAME), content, count=count, codec=codec)
    assert all(7 <= one.offset <= 8 for one in read(raw))
