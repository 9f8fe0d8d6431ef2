"""Store what a subscriber has applied. Its own clock is a claim; the broker's time counts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import structlog

from kielto.events.messages import Acknowledgement, Position
from kielto.events.topics import Lane, permissions_of
from kielto.service.database.pool import Conn
from services.consents import metrics
from services.consents.store.propagation import acks
from services.consents.store.propagation.instances import life_seconds
from services.consents.use_cases.context import Context, UnknownSubscriberError

log = structlog.get_logger(__name__)

Ends = Mapping[tuple[UUID, int], int]
"""By topic id and partition: the next offset that the broker will give out."""


def of_pair(party: str, ack: Acknowledgement) -> list[Position]:
    """Positions in the party's own two topics, the last of each partition; others prove nothing here."""
    family = permissions_of(party)
    pair = {family.topic(lane) for lane in Lane}
    return list({(p.topic_id, p.partition): p for p in ack.positions if p.topic in pair}.values())


async def acknowledge(
    conn: Conn, context: Context, party: str, ack: Acknowledgement, appended_at: datetime, ends: Ends
) -> None:
    """Store an acknowledgement in the caller's transaction. A position beyond the end of its topic counts up to that,
    and is counted as such. `ends`: of current topics; of a former one it is what was published there last.

    Raises UnknownSubscriberError.
    """
    subscriber = next((s for s in context.group.subscribers_of(party) if s.id == ack.subscriber), None)
    if subscriber is None:
        raise UnknownSubscriberError
    claimed = of_pair(party, ack)
    former = [p for p in claimed if (p.topic_id, p.partition) not in ends]
    published = {place: end for place, end in (await acks.published(conn, former)).items() if end}
    positions = bounded(claimed, {**published, **ends})
    life = life_seconds(subscriber)
    for since in await acks.take_in(conn, ack, positions, appended_at, life):
        metrics.APPLIED_SECONDS.labels(ack.subscriber).observe(
            max(0.0, (appended_at - since).total_seconds())
        )
    held = {(p.topic_id, p.partition): p.offset for p in positions}
    if beyond := sum(held.get((p.topic_id, p.partition), 0) != p.offset for p in claimed):
        await acks.note_beyond_end(conn, ack.subscriber, ack.instance, beyond, appended_at)
        metrics.CLAIMS_BEYOND_END.labels(ack.subscriber).inc(beyond)
        log.warning(
            "acknowledgement.beyond_end",
            subscriber=ack.subscriber,
            instance=str(ack.instance),
            positions=beyond,
        )


def bounded(positions: Sequence[Position], ends: Ends) -> list[Position]:
    """Positions in topics of ours, each at most the end: rows of invented topics would fill the database."""
    return [
        p.model_copy(update={"offset": min(p.offset, end)})
        for p in positions
        if (end := ends.get((p.topic_id, p.partition))) is not None
    ]
