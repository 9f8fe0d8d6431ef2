"""A launch waits until marketing holds what was registered before it: a person imported a moment ago is one of the
company's people, though their record and their permissions are still on their way.

Three things are waited for: all that stood in the topics of customers and consents is read; consents has published
permissions of everybody whom customers published; nothing more has come for a while. The last one is a guess, since
customers' outbox cannot be seen from here: docs/decisions/0016-audiences-and-recalls.md.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from kielto import kafka
from kielto.events.topics import CONSENTS, CUSTOMERS, PARTITIONS, Lane
from kielto.kafka import CLEAR, Security, TopicPartition
from kielto.service.database.pool import Pool
from kielto.service.inbox import transactional
from services.marketing.store import people

SETTLED_SECONDS = 1.5
_TOPICS = tuple(family.topic(lane) for family in (CUSTOMERS, CONSENTS) for lane in Lane)
_STATE = (CUSTOMERS.bulk, CONSENTS.bulk)

Ends = dict[tuple[str, int], int]
"""By topic and partition, the offset that the next record gets."""


class Wait(StrEnum):
    READING = "reading"
    """Records that stood in the topics are not read yet."""
    PERMISSIONS = "permissions"
    """There are people whose permissions consents has not published yet."""
    SETTLING = "settling"
    """Records came a moment ago: more may come."""


@dataclass(slots=True)
class CatchUp:
    """What one launch waits for."""

    began: float
    first: Ends | None = None
    seen: Ends = field(default_factory=dict)
    """The ends of the topics that have no beats, and since when they are what they are."""
    since: float = 0.0

    def waits_for(self, ends: Ends, taken: Ends, unknown: bool, now: float) -> Wait | None:
        """After a look: what is still waited for; None when the launch may begin."""
        if self.first is None:
            self.first = ends
        state = {place: end for place, end in ends.items() if place[0] in _STATE}
        if state != self.seen:
            self.seen, self.since = state, now
        if any(taken.get(place, 0) < end for place, end in (self.first | state).items()):
            return Wait.READING
        if unknown:
            return Wait.PERMISSIONS
        return Wait.SETTLING if now - self.since < SETTLED_SECONDS else None


async def look(pool: Pool, bootstrap: str, security: Security = CLEAR) -> tuple[Ends, Ends, bool]:
    """Where the topics end, how far they are taken in, and whether anybody's permissions are unknown. Raises one of
    kafka.DOWN or postgres.AWAY.
    """
    async with kafka.started(kafka.consumer(bootstrap, security=security)) as consumer:
        ids = await kafka.topic_ids(consumer, list(_TOPICS))
        places = [TopicPartition(topic, p) for topic in _TOPICS for p in range(PARTITIONS)]
        begins = await consumer.beginning_offsets(places)
        found = await kafka.end_offsets(consumer, places)
    ends = {(p.topic, p.partition): end for p, end in found.items() if end > begins[p]}
    taken = await transactional.positions(pool, ids)
    async with pool.acquire() as conn:
        return ends, taken, await people.some_unknown(conn)
