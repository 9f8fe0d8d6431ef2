"""Find records that the database holds as published and that were not read back.

Scans all records, key by key, over and over. A record without marks was acknowledged at its version, so the topic
holds that version or a later one; what `publications` says about a topic must be there too. What was published after a
partition was last read is not missing, so a suspect is checked again once everything up to the present ends was read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg

from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.events.versions import Version
from kielto.kafka import TopicPartition, end_offsets, partition_of
from kielto.service.auditor import store
from kielto.service.auditor.rules import AuditFinding, FindingKind, LogPlace

CHUNK = 1000
Positions = Mapping[tuple[str, int], store.Audited]


class Suspect(NamedTuple):
    family: str
    key: str
    lane: Lane
    version: Version


_CHUNK = """
SELECT family, key FROM records WHERE family = ANY($1::text[]) AND (family, key) > ($2, $3)
ORDER BY family, key LIMIT $4"""

# Each key is looked up alone: PostgreSQL planned an anti join over the whole of `audit` for each chunk.
# Left out: families during a backfill, since an epoch raises every row before it is marked; keys with a tombstone, of
# which nothing is left; and keys whose version in the log is above the database's, because publishing again would only
# put a lower version behind it.
_MISSING = """
WITH topic (family, topic_id, lane) AS MATERIALIZED (
    SELECT * FROM unnest($3::text[], $4::uuid[], $5::text[])
), asked AS MATERIALIZED (
    SELECT r.family, r.key, r.epoch, r.n
    FROM unnest($1::text[], $2::text[]) AS k (family, key)
    JOIN records r ON r.family = k.family AND r.key = k.key
), missing AS MATERIALIZED (
    SELECT family, key, NULL AS lane, epoch, n FROM asked r
    WHERE NOT coalesce((
        SELECT bool_or((a.epoch, a.n) >= (r.epoch, r.n))
        FROM topic t JOIN audit a ON a.topic_id = t.topic_id AND a.key = r.key WHERE t.family = r.family), false)
    UNION ALL
    SELECT r.family, r.key, t.lane, p.epoch, p.n
    FROM asked r JOIN topic t ON t.family = r.family CROSS JOIN LATERAL (
        SELECT p.epoch, p.n FROM publications p
        WHERE p.family = r.family AND p.key = r.key AND p.topic_id = t.topic_id
        ORDER BY p.epoch DESC, p.n DESC LIMIT 1
    ) p
    WHERE NOT coalesce((
        SELECT (a.epoch, a.n) >= (p.epoch, p.n) FROM audit a WHERE a.topic_id = t.topic_id AND a.key = r.key), false)
)
SELECT DISTINCT ON (family, key) * FROM missing m
WHERE (m.lane IS NOT NULL OR NOT EXISTS (SELECT FROM marks k WHERE k.family = m.family AND k.key = m.key))
    AND NOT EXISTS (SELECT FROM tombstones b WHERE b.family = m.family AND b.key = m.key)
    AND NOT EXISTS (SELECT FROM snapshots s WHERE s.family = m.family AND s.finished_at IS NULL)
    AND NOT EXISTS (
        SELECT FROM audit_findings f
        WHERE f.family = m.family AND f.key = m.key AND f.kind = 'ahead' AND f.state = 'open')
ORDER BY family, key, lane"""


class MissingScan:
    """`step` checks the next records; `whole` counts the complete scans."""

    def __init__(self, families: Sequence[Family], ids: Mapping[str, UUID]) -> None:
        self._families = {family.name: family for family in families}
        self._ids = ids
        self._after = ("", "")
        self._suspects: list[Suspect] = []
        self._ends: dict[TopicPartition, int] = {}
        self.whole = 0

    @property
    def waits(self) -> bool:
        """Whether there are suspects, until what is written now has been read."""
        return bool(self._suspects)

    async def step(self, conn: store.Conn, consumer: Any, positions: Positions) -> list[AuditFinding]:
        """New findings. Raises one of kafka.DOWN, or PostgreSQL's error."""
        if self._suspects:
            if any(positions[place.topic, place.partition].offset < end for place, end in self._ends.items()):
                return []
            suspects, self._suspects = self._suspects, []
            return await self._again(conn, suspects, positions)
        rows = await conn.fetch(_CHUNK, list(self._families), *self._after, CHUNK)
        self._after = (rows[-1]["family"], rows[-1]["key"]) if rows else ("", "")
        self.whole += not rows
        self._suspects = await self._missing(conn, [(row["family"], row["key"]) for row in rows])
        if self._suspects:
            self._ends = await end_offsets(
                consumer, [TopicPartition(topic, p) for topic in self._ids for p in range(PARTITIONS)]
            )
        return []

    async def _again(
        self, conn: store.Conn, suspects: Sequence[Suspect], positions: Positions
    ) -> list[AuditFinding]:
        """The suspects that are still missing at the same version after everything up to the ends was read."""
        still = set(await self._missing(conn, [(s.family, s.key) for s in suspects]))
        findings = [self._finding(s, positions) for s in suspects if s in still]
        async with conn.transaction():
            return await store.found(conn, findings)

    def _finding(self, suspect: Suspect, positions: Positions) -> AuditFinding:
        family = self._families[suspect.family]
        topic, partition = family.topic(suspect.lane), partition_of(suspect.key.encode(), PARTITIONS)
        offset = positions[topic, partition].offset
        place = LogPlace(family, topic, self._ids[topic], partition, offset)
        why = f"{suspect.version} was acknowledged and is not there"
        return AuditFinding(FindingKind.VANISHED, place, why, suspect.key, suspect.version, offset)

    async def _missing(self, conn: store.Conn, keys: Sequence[tuple[str, str]]) -> list[Suspect]:
        pairs = [(f.name, f.topic(lane), lane) for f in self._families.values() for lane in Lane]
        pairs = [p for p in pairs if p[2] is Lane.BULK or self._families[p[0]].express]
        rows: list[asyncpg.Record] = await conn.fetch(
            _MISSING,
            [family for family, _ in keys],
            [key for _, key in keys],
            [family for family, _, _ in pairs],
            [self._ids[topic] for _, topic, _ in pairs],
            [lane.value for _, _, lane in pairs],
        )
        return [
            Suspect(r["family"], r["key"], self._lane(r["family"], r["lane"]), Version(r["epoch"], r["n"]))
            for r in rows
        ]

    def _lane(self, family: str, lane: str | None) -> Lane:
        """The lane to publish it on; express if unknown, because it may be a ban."""
        if lane is not None:
            return Lane(lane)
        return Lane.EXPRESS if self._families[family].express else Lane.BULK
