"""One question about very many customers, answered from the columns: what `Gate.may` says of each."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from kielto.errors import InvalidValueError
from kielto.events.topics import PARTITIONS, Lane
from kielto.subscriber.columnar.arrays import Many
from kielto.subscriber.columnar.row_kinds import RowKindColumns
from kielto.subscriber.columnar.table import Image

_IDS, _ROWS = 1 << 18, 1 << 14
"""How many ids and rows are handled at once, so that the arrays made on the way stay small."""
_threads = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "kielto-batch")
"""Looking ids up is waiting for memory, which more than one core can do at a time. Started when first used."""


class BulkQuestion(NamedTuple):
    """What the gate knows about one question. `allowed`, `denied`, `unknown`: the codes of these answers."""

    allowed: int
    denied: int
    unknown: int
    shut: Sequence[int | None]
    """For each partition, the code of why its gate is shut, or None."""
    permits: Sequence[bool]
    """For each shape, by its number, whether it permits what is asked."""
    ended: Sequence[int]
    """Rows whose permission has ended."""
    begins: Mapping[int, tuple[int, int]]
    """By partition, where its complete snapshot began on the express and on the bulk lane."""


def answer(image: Image, asked: BulkQuestion, customers: bytes) -> bytearray:
    """The code of the answer for each customer, by their ids of 32 bytes each. Raises ValueError."""
    if len(customers) % 32:
        raise InvalidValueError(
            "customers: the ids must have 32 bytes each, so the length must be a multiple of 32"
        )
    everyone = next((code for code in asked.shut if code is not None), asked.unknown)
    by_row = np.append(_by_row(image, asked), np.uint8(everyone))
    ids, answers = memoryview(customers), np.empty(len(customers) // 32, np.uint8)

    def answer_part(start: int) -> None:
        part = slice(start, min(start + _IDS, len(answers)))
        rows = image.find_many(*_idents(ids[32 * part.start : 32 * part.stop]))
        answers[part] = by_row[rows]  # -1, the last, is for the unknown

    parts = range(0, len(answers), _IDS)
    for _ in (_threads.map if len(parts) > 1 else map)(answer_part, parts):
        pass
    return bytearray(answers.tobytes())


def _idents(customers: bytes | memoryview) -> tuple[Many, Many]:
    """The parts of ids of 32 bytes each that the table keeps."""
    hi = np.frombuffer(customers, ">u8").reshape(-1, 4)[:, 0]
    lo = np.frombuffer(customers, ">u4").reshape(-1, 8)[:, 2]
    return hi.astype(np.uint64), lo.astype(np.uint32)


def _by_row(image: Image, asked: BulkQuestion) -> Many:
    answers = np.empty(len(image), np.uint8)
    of_kind = _by_kind(image.kinds.table, asked)
    begins = _begins(asked, image.kinds.table.partitions)
    for start in range(0, len(image), _ROWS):
        stop = min(start + _ROWS, len(image))
        kinds = image.kinds_of(start, stop).astype(np.int64)
        says = of_kind[kinds]
        late = image.seen_from(start, stop, Lane.BULK) <= begins[Lane.BULK][kinds]
        rows = np.flatnonzero(late & (says == asked.allowed))
        swept = image.seen_of(rows + start, Lane.EXPRESS) <= begins[Lane.EXPRESS][kinds[rows]]
        says[rows[swept]] = asked.denied
        answers[start:stop] = says
    ended = np.array(asked.ended, np.int64)
    answers[ended[answers[ended] == asked.allowed]] = asked.denied
    return answers


def _by_kind(kinds: RowKindColumns, asked: BulkQuestion) -> Many:
    permits = np.array(asked.permits, bool)[kinds.shapes] & ~kinds.unreadable
    answers = np.where(permits, np.uint8(asked.allowed), np.uint8(asked.denied))
    for partition, code in enumerate(asked.shut):
        if code is not None:
            answers[kinds.partitions == partition] = code
    return answers


def _begins(asked: BulkQuestion, partitions: Many) -> dict[Lane, Many]:
    """For each kind of rows where the complete snapshot began, as `Follower.swept` compares; -1 where there is none."""
    begins = {lane: np.full(PARTITIONS, -1, np.int64) for lane in Lane}
    for partition, (express, bulk) in asked.begins.items():
        begins[Lane.EXPRESS][partition] = express
        begins[Lane.BULK][partition] = bulk
    return {lane: begin[partitions] for lane, begin in begins.items()}
