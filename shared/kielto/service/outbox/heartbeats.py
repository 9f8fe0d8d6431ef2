"""Heartbeats: proof that everything committed before the relay's last look stands in the log (contract,
Freshness).

Beat n goes to every partition of every restrictions topic of the service, after everything was published that
the look found. The look for n comes only after n-1 was acknowledged in every partition. An answer that is not
known ends the leader's term (`relay.py`): a new term is more than the skipped number that the contract asks
for.
"""

import json
import time
from collections.abc import Awaitable, Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from kielto.clock import Clock, utc_now
from kielto.events import control, envelope
from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.service.outbox.batch_send import OutboxMessage
from kielto.service.outbox.leader import Leader

Withheld: TypeAlias = Callable[[Leader], Awaitable[Container[str]]]
"""Names of families with committed changes that have no mark yet. Read before the marks of a look: whatever is missing
here is marked, or was committed later and is not vouched for.
"""


async def nothing_withheld(_: Leader) -> Container[str]:
    return ()


@dataclass(frozen=True, slots=True)
class BeatPlan:
    """When and where a service sends heartbeats. `taken`: by family name, the input topics whose positions its
    heartbeats carry.
    """

    seconds: float
    taken: Mapping[str, Sequence[str]] = field(default_factory=dict)
    gate: Callable[[], bool] = lambda: True
    about: Mapping[str, control.AboutParty] = field(default_factory=dict)
    """By family name: what its heartbeats say about the party."""
    withheld: Withheld = nothing_withheld
    clock: Clock = utc_now


@dataclass(frozen=True, slots=True)
class Look:
    """What a heartbeat says about the database. It is read before the marks, whose records are published before the
    heartbeat.
    """

    taken: Mapping[str, control.Taken]
    generations: Mapping[str, int]
    withheld: Container[str] = ()


# The newest *requested* generation: from the moment a backfill is asked for until it is complete, gates stay
# shut.
_LOOK = """
SELECT
    (SELECT coalesce(json_agg(t), '[]') FROM (
        SELECT p.topic, p.topic_id, json_agg(json_build_array(p.partition, least(p."offset", (
            SELECT min(q."offset") FROM quarantine q
            WHERE (q.topic, q.topic_id, q.partition) = (p.topic, p.topic_id, p.partition)
            AND q.state = 'open' AND q.holds
        )))) AS offsets
        FROM positions p WHERE p.topic = ANY($1::text[]) GROUP BY p.topic, p.topic_id
    ) t) AS taken,
    (SELECT coalesce(json_object_agg(family, generation), '{}') FROM (
        SELECT family, max(generation) AS generation FROM snapshots GROUP BY family
    ) s) AS generations"""


class Beats:
    """The heartbeats of one leader's term."""

    def __init__(self, plan: BeatPlan, families: Sequence[Family], epoch: int, term: int) -> None:
        self._plan = plan
        self._families = [family for family in families if family.express]
        self._epoch, self._term, self._n = epoch, term, 0
        self._next = time.monotonic()

    def wait(self) -> float:
        """Seconds until the next heartbeat is due; a withheld one is due again soon."""
        return max(0.0, self._next - time.monotonic()) if self._families else 3600.0

    def due(self) -> bool:
        """Whether to look for the next heartbeat now."""
        if self.wait() > 0:
            return False
        if self._plan.gate():
            return True
        self._next = time.monotonic() + min(0.25, self._plan.seconds)
        return False

    async def look(self, conn: Leader) -> Look:
        topics = sorted({topic for topics in self._plan.taken.values() for topic in topics})
        row = await conn.fetchrow(_LOOK, topics)
        assert row is not None
        withheld = await self._plan.withheld(conn)
        return Look(_taken(json.loads(row["taken"])), json.loads(row["generations"]), withheld)

    def messages(self, look: Look, going: Container[str]) -> list[OutboxMessage]:
        """Beat n+1 for all partitions of the families in `going`: the others have marks that cannot be
        published. None for those that the look withholds: their followers miss a number. Call `acknowledged` when
        each was.
        """
        at = self._plan.clock()
        named = (family for family in self._families if family.name in going)
        families = [family for family in named if family.name not in look.withheld]
        return [message for family in families for message in self._beat(family, look, at)]

    def acknowledged(self) -> None:
        self._n += 1
        self._next = max(self._next + self._plan.seconds, time.monotonic())

    def _beat(self, family: Family, look: Look, at: datetime) -> list[OutboxMessage]:
        names = self._plan.taken.get(family.name, ())
        beat = control.Beat(
            epoch=self._epoch,
            term=self._term,
            n=self._n + 1,
            generation=look.generations.get(family.name, 0),
            taken=tuple(look.taken[name] for name in names if name in look.taken),
            about=self._plan.about.get(family.name),
            at=at,
        )
        return everywhere(family, beat)


def everywhere(family: Family, beat: control.Beat, lane: Lane = Lane.EXPRESS) -> list[OutboxMessage]:
    """One heartbeat for each partition of the family's topic of the lane."""
    encoded = envelope.encode(beat, key=control.BEAT, source=family.writer)
    return [OutboxMessage(family.topic(lane), partition, *encoded) for partition in range(PARTITIONS)]


def _taken(rows: list[dict[str, Any]]) -> dict[str, control.Taken]:
    """Positions by topic. A partition of which nothing was read is at 0; positions of an older topic id are dropped.
    None is above a message in quarantine that may take a permission away.
    """
    taken: dict[str, control.Taken] = {}
    for row in rows:
        offsets = [0] * PARTITIONS
        for partition, offset in row["offsets"]:
            if partition < PARTITIONS:
                offsets[partition] = offset
        topic, ident = row["topic"], row["topic_id"]
        taken[topic] = control.Taken(topic=topic, topic_id=ident, offsets=tuple(offsets))
    return taken
