"""One question about very many customers, answered from the columns: what `Gate.may` says of each."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kielto.events.topics import PARTITIONS, Lane
from kielto.subscriber.columnar.arrays import Many
from kielto.subscriber.columnar.row_kinds import RowKindColumns
from kielto.subscriber.gate.permits import RecordQuestion, shape_refusal
from kielto.subscriber.gate.questions import Reason
from kielto.subscriber.records.content import Shape
from kielto.subscriber.replica.follower import Follower

CODES = tuple(Reason)
"""An answer is the place of its reason here."""
_CODE = {reason: np.uint8(at) for at, reason in enumerate(CODES)}
_ALLOWED = _CODE[Reason.ALLOWED]
_IDS, _ROWS = 1 << 18, 1 << 14
"""So many at once, that what is made of them on the way stays small."""
_threads = ThreadPoolExecutor(min(4, os.cpu_count() or 1), "kielto-batch")
"""Looking ids up is waiting for memory, which more than one core can do at a time. Started when first used."""


def idents(customers: bytes | memoryview) -> tuple[Many, Many]:
    """The parts of ids of 32 bytes each that the store keeps."""
    hi = np.frombuffer(customers, ">u8").reshape(-1, 4)[:, 0]
    lo = np.frombuffer(customers, ">u4").reshape(-1, 8)[:, 2]
    return hi.astype(np.uint64), lo.astype(np.uint32)


def codes(
    follower: Follower, shut: list[Reason | None], permits: Many, ended: Many, customers: bytes
) -> Many:
    """`shut`: why the gate of each partition is, or None. `permits`: by the number of the shape; `ended`:
    rows whose permission has. Raises ValueError.
    """
    if len(customers) % 32:
        raise ValueError("customers: each id has 32 bytes")
    everyone = next((reason for reason in shut if reason), None)
    by_row = np.append(_by_row(follower, shut, permits, ended), _CODE[everyone or Reason.UNKNOWN])
    ids, answers = memoryview(customers), np.empty(len(customers) // 32, np.uint8)

    def answer(start: int) -> None:
        part = slice(start, min(start + _IDS, len(answers)))
        rows = follower.image.find_many(*idents(ids[32 * part.start : 32 * part.stop]))
        answers[part] = by_row[rows]  # -1, the last, is for the unknown

    parts = range(0, len(answers), _IDS)
    for _ in (_threads.map if len(parts) > 1 else map)(answer, parts):
        pass
    return answers


def _by_row(follower: Follower, shut: list[Reason | None], permits: Many, ended: Many) -> Many:
    image, answers = follower.image, np.empty(len(follower.image), np.uint8)
    of_kind = _by_kind(image.kinds.table, shut, permits)
    begins = _begins(follower, image.kinds.table.partitions)
    for start in range(0, len(image), _ROWS):
        stop = min(start + _ROWS, len(image))
        kinds = image.kinds_of(start, stop).astype(np.int64)
        says = of_kind[kinds]
        late = (says == _ALLOWED) & (image.seen_from(start, stop, Lane.BULK) <= begins[Lane.BULK][kinds])
        rows = np.flatnonzero(late)
        swept = image.seen_of(rows + start, Lane.EXPRESS) <= begins[Lane.EXPRESS][kinds[rows]]
        says[rows[swept]] = _CODE[Reason.DENIED]
        answers[start:stop] = says
    answers[ended[answers[ended] == _ALLOWED]] = _CODE[Reason.DENIED]
    return answers


def _by_kind(kinds: RowKindColumns, shut: list[Reason | None], permits: Many) -> Many:
    answers = np.where(permits[kinds.shapes] & ~kinds.unreadable, _ALLOWED, _CODE[Reason.DENIED])
    for partition, reason in enumerate(shut):
        if reason is not None:
            answers[kinds.partitions == partition] = _CODE[reason]
    return answers


def _begins(follower: Follower, partitions: Many) -> dict[Lane, Many]:
    """Where the complete snapshot began, for each of the kinds: as `Follower.swept`; -1 where there is none."""
    begins = {lane: np.full(PARTITIONS, -1, np.int64) for lane in Lane}
    for partition, snapshot in follower.state.snapshots.items():
        begins[Lane.EXPRESS][partition] = snapshot.begin_express
        begins[Lane.BULK][partition] = snapshot.begin_bulk
    return {lane: begin[partitions] for lane, begin in begins.items()}


def permits(shapes: Iterable[Shape], asked: RecordQuestion) -> Many:
    """Of each shape, whether every point of the channel allows it."""
    return np.array([shape_refusal(shape, asked) is None for shape in shapes], bool)
