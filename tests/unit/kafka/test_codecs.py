"""Every codec of Kafka, within a bound."""

import gzip
import os
import struct
import tracemalloc
from typing import Any

import cramjam
import pytest

from kielto.kafka import codecs
from kielto.kafka.codecs import CORRUPT, TOO_LARGE, UNKNOWN_CODEC, UndecodableBatchError, decompress

TEXT = b'{"act": "ban"}' * 500


def xerial(content: bytes, size: int = 1000) -> bytes:
    blocks = [
        bytes(cramjam.snappy.compress_raw(content[at : at + size])) for at in range(0, len(content), size)
    ]
    return (
        b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(b)) + b for b in blocks)
    )


ENCODERS: dict[str, tuple[int, Any]] = {
    "gzip": (1, gzip.compress),
    "gzip of two members": (1, lambda c: gzip.compress(c[: len(c) // 2]) + gzip.compress(c[len(c) // 2 :])),
    "snappy": (2, lambda c: bytes(cramjam.snappy.compress_raw(c))),
    "snappy in xerial's framing": (2, xerial),
    "lz4": (3, lambda c: bytes(cramjam.lz4.compress(c))),
    "zstd": (4, lambda c: bytes(cramjam.zstd.compress(c))),
}
every_codec = pytest.mark.parametrize(("codec", "encode"), ENCODERS.values(), ids=ENCODERS)


@every_codec
def test_gives_back_what_was_compressed(codec: int, encode: Any) -> None:
    assert decompress(codec, encode(TEXT)) == TEXT
    assert decompress(codec, encode(TEXT), len(TEXT)) == TEXT, "the bound itself is allowed"


@every_codec
@pytest.mark.parametrize("size", [3, 300, 200_000])
def test_takes_memory_by_what_comes_out(codec: int, encode: Any, size: int) -> None:
    """Not by the bound: to clear 16 MiB for each small batch takes milliseconds of its reader."""
    payload = encode(os.urandom(size))
    tracemalloc.start()
    try:
        assert len(decompress(codec, payload)) == size
        assert tracemalloc.get_traced_memory()[1] < 200_000 + 20 * size
    finally:
        tracemalloc.stop()


@every_codec
def test_what_is_packed_very_small_comes_out_whole(codec: int, encode: Any) -> None:
    content = b"kielto" * 400_000
    assert decompress(codec, encode(content)) == content


@every_codec
def test_is_bounded(codec: int, encode: Any) -> None:
    with pytest.raises(UndecodableBatchError) as error:
        decompress(codec, encode(TEXT), len(TEXT) - 1)
    assert error.value.code == TOO_LARGE


@every_codec
@pytest.mark.parametrize(
    "spoil", [lambda c: c[: len(c) // 3], lambda c: os.urandom(20), lambda c: b"\x00" * 9]
)
def test_tells_what_is_damaged(codec: int, encode: Any, spoil: Any) -> None:
    with pytest.raises(UndecodableBatchError) as error:
        decompress(codec, spoil(encode(os.urandom(5000))))
    assert error.value.code in (CORRUPT, TOO_LARGE)  # a damaged length may be a large one


@pytest.mark.parametrize("codec", [5, 6, 7])
def test_tells_a_codec_that_nobody_knows(codec: int) -> None:
    with pytest.raises(UndecodableBatchError) as error:
        decompress(codec, TEXT)
    assert error.value.code == UNKNOWN_CODEC


@pytest.mark.parametrize(
    ("codec", "encode"), [(4, cramjam.zstd.compress), (3, cramjam.lz4.compress), (1, gzip.compress)]
)
def test_a_bomb_is_not_materialised(codec: int, encode: Any) -> None:
    with pytest.raises(UndecodableBatchError) as error:
        decompress(codec, bytes(encode(b"z" * (64 << 20))), codecs.LIMIT)
    assert error.value.code == TOO_LARGE
