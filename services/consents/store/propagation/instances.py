"""Instances of subscribers: which of them are alive, and SQL that the queries about their stores share."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from kielto.events.messages import progress_seconds
from kielto.group import SubscriberSystem
from kielto.service.database.pool import Conn, Pool, columns

# The instances that count: all but those that are silent while another of the subscriber was heard for a whole life of
# theirs. Only the broker's times are compared: no clock of ours can end an instance, nor an outage of the broker.
LIVE = """
subscriber (id, party, seconds) AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::float8[])
), live AS MATERIALIZED (
    SELECT s.id AS subscriber, s.party, i.instance, i.generation
    FROM subscriber s JOIN instances i ON i.subscriber = s.id
    WHERE NOT EXISTS (
        SELECT FROM instances o
        WHERE o.subscriber = s.id AND o.seen_at - greatest(o.since, i.seen_at) > make_interval(secs => s.seconds))
), store AS MATERIALIZED (
    SELECT DISTINCT subscriber, party, generation FROM live
), flaw AS MATERIALIZED (
    SELECT l.subscriber, l.generation, e.topic, e.partition, e."offset", e.key
    FROM live l JOIN ack_exceptions e USING (subscriber, instance)
)"""

# Of a store `s` and a record's position `p`: an exception counts against its key, wherever that stands; one whose key
# nobody can read, against everything at or above it in its partition.
FLAWED = """EXISTS (
    SELECT FROM flaw f WHERE f.subscriber = s.subscriber AND f.generation = s.generation AND (
        f.key = p.key
        OR f.key IS NULL AND f.topic = p.topic AND f.partition = p.partition AND p."offset" >= f."offset"))"""

_INSTANCES = f"""
WITH {LIVE}
SELECT i.subscriber, i.instance, i.generation AS store, i.seen_at, EXISTS (
    SELECT FROM live l WHERE l.subscriber = i.subscriber AND l.instance = i.instance) AS live
FROM instances i JOIN subscriber s ON s.id = i.subscriber
ORDER BY i.subscriber, i.seen_at DESC, i.instance LIMIT 1000"""  # noqa: S608


class Instance(BaseModel):
    subscriber: str = Field(exclude=True)
    instance: UUID
    store: UUID = Field(
        description="Identity of the store's contents; a new one after it was emptied or restored."
    )
    seen_at: datetime = Field(description="When the broker appended its last acknowledgement.")
    live: bool = Field(description="Only live instances count.")


async def instances(conn: "Conn | Pool", subscribers: Sequence[SubscriberSystem]) -> list[Instance]:
    """The instances of these subscribers, the latest first."""
    return [Instance(**row) for row in await conn.fetch(_INSTANCES, *parameters(subscribers))]


def parameters(subscribers: Sequence[SubscriberSystem]) -> list[list[Any]]:
    return [*columns(subscribers, "id", "party"), [life_seconds(s) for s in subscribers]]


def life_seconds(subscriber: SubscriberSystem) -> float:
    """How long an instance may be silent, while others of the subscriber acknowledge, before it counts as gone."""
    return subscriber.stale_seconds + progress_seconds(subscriber.stale_seconds)
