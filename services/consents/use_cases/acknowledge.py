"""Take in what a subscriber has applied. Its own clock is a claim; the broker's time is what counts."""

from datetime import datetime

from kielto.events.messages import Acknowledgement
from kielto.events.topics import Lane, permissions_of
from kielto.service.postgres import Conn
from services.consents import metrics
from services.consents.store import acks
from services.consents.store.proof import life_seconds
from services.consents.use_cases.context import Context


class UnknownSubscriber(Exception):
    """The party has no subscriber of that name in the group."""


async def acknowledge(
    conn: Conn, context: Context, party: str, ack: Acknowledgement, appended_at: datetime
) -> None:
    """In the caller's transaction. Positions in other topics than the party's pair prove nothing here.

    Raises UnknownSubscriber.
    """
    subscriber = next((s for s in context.group.subscribers_of(party) if s.id == ack.subscriber), None)
    if subscriber is None:
        raise UnknownSubscriber
    family = permissions_of(party)
    pair = {family.topic(lane) for lane in Lane}
    positions = {(p.topic_id, p.partition): p for p in ack.positions if p.topic in pair}
    life = life_seconds(subscriber)
    for since in await acks.take_in(conn, ack, list(positions.values()), appended_at, life):
        metrics.applied_seconds.labels(ack.subscriber).observe(
            max(0.0, (appended_at - since).total_seconds())
        )
