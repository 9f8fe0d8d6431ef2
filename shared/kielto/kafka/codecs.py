"""Kafka's compression codecs, each with a bound on what comes out.

A few hundred kilobytes of gzip or zstd can decompress to gigabytes, which aiokafka would keep in memory. Formats:
kafka.apache.org, "Record Batch" (attributes, bits 0-2); snappy as raw blocks or in xerial's framing.
"""

import zlib
from collections.abc import Callable
from functools import partial

import cramjam

LIMIT = 16 * 1024 * 1024
"""Bytes of one batch, uncompressed. Producers bound theirs far lower (librdkafka 1 MB; a topic 512 KiB compressed)."""

_FIRST, _TIMES = 64 * 1024, 8
"""A first buffer, in bytes; and how many times larger the next one is."""
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEADER = 16


class UndecodableBatchError(Exception):
    """The batch cannot be decompressed. `code` is one of TOO_LARGE, UNKNOWN_CODEC, CORRUPT."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


TOO_LARGE, UNKNOWN_CODEC, CORRUPT = "too-large", "unknown-codec", "corrupt"


def decompress(codec: int, payload: bytes, limit: int = LIMIT) -> bytes:
    """Decompress the payload of a batch with this codec (1 to 7), using at most `limit` bytes.

    Raises UndecodableBatchError.
    """
    decode = _CODECS.get(codec)
    if decode is None:
        raise UndecodableBatchError(UNKNOWN_CODEC)
    try:
        return decode(payload, limit)
    except UndecodableBatchError:
        raise
    except cramjam.DecompressionError as error:
        raise UndecodableBatchError(TOO_LARGE if _is_full(error) else CORRUPT) from None
    except (zlib.error, ValueError, IndexError, EOFError):
        raise UndecodableBatchError(CORRUPT) from None


def _gzip(payload: bytes, limit: int) -> bytes:
    parts, size = [], 0
    while payload:  # gzip allows several members, one after the other
        member = zlib.decompressobj(wbits=31)
        parts.append(member.decompress(payload, limit - size + 1))
        size += len(parts[-1])
        if size > limit:
            raise UndecodableBatchError(TOO_LARGE)
        if not member.eof:
            raise UndecodableBatchError(CORRUPT)
        payload = member.unused_data
    return b"".join(parts)


def _snappy(payload: bytes, limit: int) -> bytes:
    if not payload.startswith(_XERIAL):
        return _snappy_block(payload, limit)
    blocks, at, size = [], _XERIAL_HEADER, 0
    while at < len(payload):
        length = int.from_bytes(payload[at : at + 4])
        blocks.append(_snappy_block(payload[at + 4 : at + 4 + length], limit - size))
        size += len(blocks[-1])
        at += 4 + length
    return b"".join(blocks)


def _snappy_block(block: bytes, limit: int) -> bytes:
    """The block states its length; the decoder fails if it is another one."""
    if cramjam.snappy.decompress_raw_len(block) > limit:
        raise UndecodableBatchError(TOO_LARGE)
    return bytes(cramjam.snappy.decompress_raw(block))


def _into(decompress_into: Callable[[bytes, bytearray], int], payload: bytes, limit: int) -> bytes:
    """Grow the buffer step by step: clearing one of `limit` bytes for each batch would take milliseconds."""
    size = min(limit, max(_FIRST, _TIMES * len(payload)))
    while True:
        out = bytearray(size)
        try:
            return bytes(memoryview(out)[: decompress_into(payload, out)])
        except cramjam.DecompressionError as error:
            if size == limit or not _is_full(error):
                raise
        size = min(limit, _TIMES * size)


def _is_full(error: Exception) -> bool:
    return "whole buffer" in str(error)  # the library has no other way to tell a full output


_CODECS: dict[int, Callable[[bytes, int], bytes]] = {
    1: _gzip,
    2: _snappy,
    3: partial(_into, cramjam.lz4.decompress_into),
    4: partial(_into, cramjam.zstd.decompress_into),
}
