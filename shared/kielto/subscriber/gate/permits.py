"""What records permit: the pure rule for the gate and for the clearances of consents."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kielto.subscriber.gate.questions import Answer, Reason
from kielto.subscriber.records.content import Groups, Shape, Terms

UNTIL_MARGIN_SECONDS = 60.0
"""How much before its end a permission no longer counts, since the local clock may be slow."""
_NOTHING: Groups = frozenset()


class RecordQuestion(NamedTuple):
    """A question in the terms of records. `address`: the hashes of the address under each generation of the point key;
    None asks about all contact points of the channel.
    """

    channel: str
    terms: Terms
    product_group: str | None = None
    address: frozenset[int] | None = None


class PermitRecord(NamedTuple):
    """The record of one customer. `refusal`: why it permits nothing, whatever it lists."""

    shape: Shape
    hashes: Sequence[int]
    refusal: str | None = None


def permits(records: Iterable[PermitRecord], asked: RecordQuestion) -> Answer:
    """Answer allowed if every record permits it, unknown if there is no record, and otherwise denied with a detail."""
    answer = Answer(False, Reason.UNKNOWN)
    for record in records:
        if refusal := record.refusal or _refusal(record, asked):
            return Answer(False, Reason.DENIED, refusal)
        answer = Answer(True, Reason.ALLOWED)
    return answer


def ended(until: float | None, now: float) -> bool:
    """Whether a record's `valid_until` is over, both in seconds since 1970."""
    return until is not None and now >= until - UNTIL_MARGIN_SECONDS


def _refusal(record: PermitRecord, asked: RecordQuestion) -> str | None:
    points = record.shape.points
    if asked.address is None:
        return shape_refusal(record.shape, asked)
    held = record.hashes[record.shape.numbers :]
    named = [point for point, hash_ in zip(points, held, strict=True) if hash_ in asked.address]
    if not named:
        return "the customer does not have the address"
    return _first([point.get(asked.channel, {}).get(asked.terms, _NOTHING) for point in named], asked)


def shape_refusal(shape: Shape, asked: RecordQuestion) -> str | None:
    """Why a contact point of the channel does not permit it; None if all of them do."""
    listed = [point[asked.channel] for point in shape.points if asked.channel in point]
    return _first([terms.get(asked.terms, _NOTHING) for terms in listed], asked)


def _first(allowed: Sequence[Groups], asked: RecordQuestion) -> str | None:
    if not allowed or _NOTHING in allowed:
        return "no permission"
    if any(groups is not None and asked.product_group not in groups for groups in allowed):
        return "permitted for other product groups only"
    return None
