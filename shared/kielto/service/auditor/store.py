"""The auditor's tables: positions and what was read below them, committed together; findings and repairs.

A repair is a mark: the relay publishes the record's current state behind whatever is wrong. It is inserted with the
finding, in one transaction, and only once: a finding is identified by its place and kind.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias
from uuid import UUID

import asyncpg

from kielto.events.topics import Family, Lane
from kielto.events.versions import Version
from kielto.service.auditor import voids
from kielto.service.auditor.rules import AuditedRecord, AuditFinding, FindingKind, KnownVersions, OutboxRow
from kielto.service.database import epoch
from kielto.service.outbox import backfills
from kielto.service.support import metrics

Conn: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MANY = 1000
"""More lost keys of one partition than this are repaired by a backfill instead of one by one."""


class Audited(NamedTuple):
    """How far a partition was read."""

    topic_id: UUID
    offset: int
    epoch: int


_POSITIONS = 'SELECT topic, partition, topic_id, "offset", epoch FROM audit_positions WHERE topic = ANY($1)'


async def positions(conn: Conn, topics: Collection[str]) -> dict[tuple[str, int], Audited]:
    rows = await conn.fetch(_POSITIONS, list(topics))
    return {(r["topic"], r["partition"]): Audited(r["topic_id"], r["offset"], r["epoch"]) for r in rows}


_MOVE = """
INSERT INTO audit_positions (topic, partition, topic_id, "offset", epoch)
SELECT * FROM unnest($1::text[], $2::integer[], $3::uuid[], $4::bigint[], $5::integer[])
ON CONFLICT (topic, partition) DO UPDATE SET
    topic_id = excluded.topic_id, "offset" = excluded."offset", epoch = excluded.epoch"""


async def move(conn: Conn, moved: Mapping[tuple[str, int], Audited]) -> None:
    rows = [(*place, *at) for place, at in moved.items()]
    await conn.execute(_MOVE, *map(list, zip(*rows, strict=True)))


_KNOWN = """
SELECT k.topic_id, k.key, k.family, a.epoch AS seen_epoch, a.n AS seen_n, r.epoch, r.n, r.status
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS k (topic_id, key, family)
LEFT JOIN audit a ON a.topic_id = k.topic_id AND a.key = k.key
LEFT JOIN records r ON r.family = k.family AND r.key = k.key"""


async def known(
    conn: Conn, items: Sequence[AuditedRecord], audited: Mapping[tuple[str, int], Audited]
) -> KnownVersions:
    """Load what is known of the keys of these records. The records were read before, so no row is older."""
    asked = {(i.place.topic_id, i.key): i.place.family.name for i in items if i.key is not None}
    rows = await conn.fetch(
        _KNOWN, [topic_id for topic_id, _ in asked], [key for _, key in asked], list(asked.values())
    )
    found = KnownVersions(
        epoch=latest[0] if (latest := await epoch.latest(conn)) else 0,
        rows={},
        highest={},
        epochs={place: at.epoch for place, at in audited.items()},
        positions={place: at.offset for place, at in audited.items()},
    )
    for row in rows:
        if row["n"] is not None:
            found.rows[row["family"], row["key"]] = OutboxRow(Version(row["epoch"], row["n"]), row["status"])
        if row["seen_n"] is not None:
            found.highest[row["topic_id"], row["key"]] = Version(row["seen_epoch"], row["seen_n"])
    return found


_NOTE = """
INSERT INTO audit (topic_id, key, partition, "offset", epoch, n)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::integer[], $4::bigint[], $5::integer[], $6::bigint[])
ON CONFLICT (topic_id, key) DO UPDATE SET
    partition = excluded.partition, "offset" = excluded."offset", epoch = excluded.epoch, n = excluded.n"""

_READ_BACK = """
UPDATE audit_findings f SET state = 'repaired', ended_at = now()
FROM unnest($1::uuid[], $2::text[]) AS k (topic_id, key)
JOIN audit a ON a.topic_id = k.topic_id AND a.key = k.key
WHERE f.state = 'open' AND f.topic_id = k.topic_id AND f.key = k.key
    AND a."offset" >= f.after AND (a.epoch, a.n) >= (f.epoch, f.n)"""


async def note(conn: Conn, noted: KnownVersions) -> None:
    """Store the positions of the highest versions, then close the findings that they repair."""
    rows = [
        (topic_id, key, place.partition, place.offset, version.epoch, version.n)
        for (topic_id, key), (place, version) in noted.noted.items()
    ]
    if rows:
        await conn.execute(_NOTE, *map(list, zip(*rows, strict=True)))
        if await count_open(conn):
            await conn.execute(_READ_BACK, [row[0] for row in rows], [row[1] for row in rows])


_FOUND = """
INSERT INTO audit_findings
    (kind, family, topic, topic_id, partition, "offset", key, epoch, n, after, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING RETURNING id"""


async def found(conn: Conn, findings: Sequence[AuditFinding]) -> list[AuditFinding]:
    """Store the new ones of these findings, mark what repairs them, and return them."""
    new: list[AuditFinding] = []
    for finding in findings:
        family, *place = finding.place
        what = (finding.key, *finding.version, finding.after, finding.reason)
        if await conn.fetchval(_FOUND, finding.kind.value, family.name, *place, *what):
            new.append(finding)
            metrics.AUDIT_FINDINGS.labels(finding.kind.value).inc()
    await _repair(conn, new)
    return new


_MARK = """
WITH marked AS (
    INSERT INTO marks (lane, family, key)
    SELECT lane, family, key FROM unnest($1::text[], $2::text[], $3::text[]) AS m (lane, family, key)
    JOIN records USING (family, key)
    RETURNING lane
)
SELECT pg_notify('kielto_express', '') FROM marked WHERE lane = 'express' LIMIT 1"""

_BY_BACKFILL = """
UPDATE audit_findings SET generation = $2
WHERE family = $1 AND kind = 'vanished' AND key IS NULL AND state = 'open'"""


async def _repair(conn: Conn, findings: Sequence[AuditFinding]) -> None:
    """Mark the record on the lane of the topic that has the fault, so that the last record of the key there is its
    highest version.

    What is ahead of the database is not repaired: republishing would only put something lower behind it.
    """
    again = {
        (_lane(f).value, f.place.family.name, f.key)
        for f in findings
        if f.key is not None and f.kind is not FindingKind.AHEAD
    }
    if again:
        await conn.execute(_MARK, *map(list, zip(*sorted(again), strict=True)))
    for finding in findings:
        if finding.kind is FindingKind.FOREIGN and finding.key is None:
            await voids.queue(conn, finding.place)
    lost = {f.place.family.name for f in findings if f.kind is FindingKind.VANISHED and f.key is None}
    for family in sorted(lost):
        generation = await backfills.request(conn, family)
        await conn.execute(_BY_BACKFILL, family, generation)


def _lane(finding: AuditFinding) -> Lane:
    return Lane.EXPRESS if finding.place.topic == finding.place.family.express else Lane.BULK


_FORGET_READ = "DELETE FROM audit WHERE topic_id = $1"

_FORGET_FINDINGS = """
UPDATE audit_findings SET state = 'gone' WHERE state = 'open' AND topic = $1 AND topic_id = $2"""

_FORGET_VOIDS = "UPDATE voids SET state = 'gone' WHERE state = 'open' AND topic = $1 AND topic_id = $2"


async def forget_topic(conn: Conn, topic: str, topic_id: UUID) -> None:
    """Delete what was noted of a topic that was created again under another id."""
    await conn.execute(_FORGET_READ, topic_id)
    await conn.execute(_FORGET_FINDINGS, topic, topic_id)
    await conn.execute(_FORGET_VOIDS, topic, topic_id)


_LOST = """
WITH gone AS (
    DELETE FROM audit WHERE topic_id = $1 AND partition = $2 AND "offset" >= $3 AND "offset" < $4
    RETURNING key, "offset", epoch, n
)
SELECT g.*, EXISTS (SELECT FROM tombstones t WHERE t.family = $5 AND t.key = g.key) AS has_tombstone
FROM gone g ORDER BY "offset" """


async def lost(
    conn: Conn, family: Family, at: tuple[UUID, int], low: int, high: int
) -> list[tuple[str, int, Version]]:
    """Delete the positions of the records whose highest version was in this range of offsets, which Kafka no longer
    has; return key, offset and version of those that have no tombstone.
    """
    rows = await conn.fetch(_LOST, *at, low, high, family.name)
    return [(r["key"], r["offset"], Version(r["epoch"], r["n"])) for r in rows if not r["has_tombstone"]]


_BACKFILLED = """
UPDATE audit_findings f SET state = 'repaired', ended_at = now()
WHERE state = 'open' AND key IS NULL AND (
    (kind = 'ahead' AND f.epoch <= (SELECT epoch FROM epoch))
    OR EXISTS (
        SELECT FROM snapshots s
        WHERE s.family = f.family AND s.generation >= f.generation AND s.finished_at IS NOT NULL))"""


async def backfilled(conn: Conn) -> None:
    """Close findings that a finished backfill has repaired, and those of epochs that ours has reached."""
    await conn.execute(_BACKFILLED)


_COUNT_OPEN = "SELECT count(*) FROM audit_findings WHERE state = 'open'"


async def count_open(conn: Conn) -> int:
    return int(await conn.fetchval(_COUNT_OPEN))


_OPEN = """
SELECT kind, topic, partition, "offset", reason, at FROM audit_findings WHERE state = 'open'
ORDER BY topic, partition, "offset", kind"""


async def list_open(conn: "Conn | asyncpg.Pool[asyncpg.Record]") -> list[asyncpg.Record]:
    return await conn.fetch(_OPEN)
