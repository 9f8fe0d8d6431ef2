"""What stands in a batch is handed out, or something in its place: nobody is stopped by it."""

import gzip
import struct
from typing import Any

import pytest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from kielto.events import envelope
from kielto.events.envelope import UNDECODABLE, Unreadable
from kielto.events.messages import Decision
from kielto.events.records import Permissions
from kielto.events.versions import Version
from kielto.kafka.aiokafka_patches.undecodable_header import KEPT, RECORD, GuardedRecords

KEY = b"a" * 64
_ATTRIBUTES_AT, _HEADER = 22, 61


def batch(*records: tuple[bytes | None, bytes, list[Any]], offset: int = 0, codec: int = 1) -> bytearray:
    builder = _DefaultRecordBatchBuilderPy(2, codec, False, -1, -1, -1, 1 << 30)
    for at, (key, value, headers) in enumerate(records):
        builder.append(at, 1000 + at, key, value, headers)
    raw = bytearray(builder.build())
    struct.pack_into(">q", raw, 0, offset)
    return raw


def read(*batches: bytearray) -> list[Any]:
    records, found = GuardedRecords(b"".join(batches)), []
    while records.has_next():
        taken = records.next_batch()
        assert taken is not None
        found += list(taken)
    return found


def test_compressed_batches_are_read_as_others_are() -> None:
    some = [(KEY, b"v%d" % n, [("h", b"x"), ("n", None)]) for n in range(3)]
    plain, packed = read(batch(*some, codec=0)), read(batch(*some, codec=1))
    for one, other in zip(plain, packed, strict=True):
        for name in ("offset", "timestamp", "timestamp_type", "key", "value", "headers", "checksum"):
            assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda raw: raw.__setitem__(_ATTRIBUTES_AT, 5), "batch: its compression codec is not known"),
        (lambda raw: raw.__setitem__(_ATTRIBUTES_AT, 4), "batch: cannot be decompressed"),
        (
            lambda raw: raw.__setitem__(slice(_HEADER, None), gzip.compress(b"z" * (17 << 20))),
            "batch: is too large when uncompressed",
        ),
    ],
)
def test_a_batch_that_cannot_be_decompressed_is_one_unreadable_record(spoil: Any, reason: str) -> None:
    spoiled = batch(*[(KEY, b"v", [])] * 3, offset=7)
    spoil(spoiled)
    struct.pack_into(">i", spoiled, 8, len(spoiled) - 12)
    before, stand_in, behind = read(
        batch((KEY, b"before", []), offset=6), spoiled, batch((KEY, b"behind", []), offset=10)
    )
    assert (before.value, behind.value) == (b"before", b"behind")
    assert stand_in.offset == 9, "the last of its batch, so that nothing of it is read again"
    assert dict(stand_in.headers)["first-offset"] == b"7"
    assert len(stand_in.value) <= KEPT
    assert envelope.read((Decision,), stand_in.key, stand_in.value, stand_in.headers) == Unreadable(reason)


def test_one_large_record_is_refused_and_the_others_of_its_batch_are_read() -> None:
    large = (KEY, b"z" * RECORD, [("ce_kieltoversion", b"3.4"), ("x", b"y" * 5000)])
    first, stand_in, last = read(batch((KEY, b"1", []), large, (KEY, b"3", []), offset=5))
    assert (first.offset, stand_in.offset, last.offset) == (5, 6, 7)
    assert len(stand_in.value) == KEPT
    read_as = envelope.read((Permissions,), stand_in.key, stand_in.value, stand_in.headers)
    assert isinstance(read_as, Unreadable)
    assert (read_as.key, read_as.version) == (KEY.decode(), Version(3, 4)), "it denies its key only"


@pytest.mark.parametrize("said", [b"too-large", b"anything", None, b"\xff"])
def test_who_writes_the_header_of_a_stand_in_is_unreadable_and_no_more(said: bytes | None) -> None:
    read_as = envelope.read((Decision,), b"k", b"{}", [(UNDECODABLE, said), ("x", None)])
    assert isinstance(read_as, Unreadable)
    assert read_as.key == "k"
    assert read_as.reason.startswith("batch: ")
