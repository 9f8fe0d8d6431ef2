"""One question about very many customers, answered from the columns: what `Gate.may` says of each."""

import numpy as np

from kielto.events.topics import PARTITIONS, Lane
from kielto.subscriber.columns import Many
from kielto.subscriber.content import Shape, Terms
from kielto.subscriber.follower import Follower
from kielto.subscriber.questions import Reason

CODES = tuple(Reason)
"""An answer is the place of its reason here."""
_CODE = {reason: np.uint8(at) for at, reason in enumerate(CODES)}
_SHARE = 4
"""From one in so many of all customers on, sorting is faster than looking each up."""


def idents(customers: bytes) -> tuple[Many, Many]:
    """The parts of ids of 32 bytes each that the store keeps. Raises ValueError."""
    if len(customers) % 32:
        raise ValueError("customers: each id has 32 bytes")
    table = np.frombuffer(customers, ">u8").reshape(-1, 4)
    return table[:, 0].astype(np.uint64), (table[:, 1] >> np.uint64(32)).astype(np.uint32)


def codes(
    follower: Follower, shut: list[Reason | None], permits: Many, ended: Many, customers: bytes
) -> Many:
    """`shut`: why the gate of each partition is, or None. `permits`: by the number of the shape; `ended`:
    rows whose permission has.
    """
    hi, lo = idents(customers)
    everyone = next((reason for reason in shut if reason), None)
    by_row = np.append(_by_row(follower, shut, permits, ended), _CODE[everyone or Reason.UNKNOWN])
    image = follower.image
    find = image.find_very_many if len(hi) * _SHARE > len(image) else image.find_many
    answers: Many = by_row[find(hi, lo)]  # -1, the last, is for the unknown
    return answers


def _by_row(follower: Follower, shut: list[Reason | None], permits: Many, ended: Many) -> Many:
    image, every = follower.image, slice(None)
    partitions = image.partitions_of(every)
    says = permits[image.shapes_of(every)] & ~image.unreadable_of(every) & ~_swept(follower, partitions)
    says[ended] = False
    answers = np.where(says, _CODE[Reason.ALLOWED], _CODE[Reason.DENIED])
    for partition, reason in enumerate(shut):
        if reason is not None:
            answers[partitions == partition] = _CODE[reason]
    return answers


def _swept(follower: Follower, partitions: Many) -> Many:
    """As `Follower.swept` for every row."""
    swept = np.ones(len(partitions), bool)
    begins = np.zeros((len(Lane), PARTITIONS), np.uint64)
    for partition, snapshot in follower.state.snapshots.items():
        begins[:, partition] = snapshot.begin_express, snapshot.begin_bulk
    for begin, lane in zip(begins, (Lane.EXPRESS, Lane.BULK), strict=True):
        swept &= follower.image.seen_of(slice(None), lane) <= begin[partitions]
    has = np.array([p in follower.state.snapshots for p in range(PARTITIONS)])
    swept &= has[partitions]
    return swept


def permits(shapes: list[Shape], channel: str, terms: Terms, product_group: str | None) -> Many:
    """Of each shape, whether every point of the channel allows it."""

    def does(shape: Shape) -> bool:
        listed = [point[channel] for point in shape.points if channel in point]
        allowed = [t.get(terms, frozenset()) for t in listed]
        return bool(listed) and all(groups is None or product_group in groups for groups in allowed)

    return np.array([does(shape) for shape in shapes], bool)
