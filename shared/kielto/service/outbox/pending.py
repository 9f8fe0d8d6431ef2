"""What the relay reads from the outbox, the Kafka messages made of it, and what it deletes once they are acked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

from kielto.events import envelope
from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.events.versions import record_bytes
from kielto.kafka import partition_of
from kielto.service.database.pool import columns
from kielto.service.outbox.batch_send import OutboxMessage
from kielto.service.outbox.leader import Leader
from kielto.service.outbox.rejecting_topics import Refusals
from kielto.service.support import tracing

DecryptRecord: TypeAlias = Callable[[str, str, str], str]
"""Family, key and the body as it is kept, to the record's JSON: `Keys.decrypt_record`."""


@dataclass(frozen=True, slots=True)
class Leadership:
    """What one leadership of a lane works with. `families` by name, `topic_ids` by topic."""

    conn: Leader
    producer: Any
    families: Mapping[str, Family]
    topic_ids: Mapping[str, UUID]
    decrypt_record: DecryptRecord
    refusals: Refusals


@dataclass(slots=True)
class Marked:
    """One record to be published, in its current state, with all marks of it that were read."""

    family: Family
    key: str
    epoch: int
    n: int
    body: str
    traceparent: str | None
    ids: list[int]
    sent: str | None = None
    """The traceparent that it was sent with."""
    partition: int = 0


_FETCH = """
SELECT m.id, m.family, m.key, m.traceparent, r.epoch, r.n, r.body
FROM marks m JOIN records r USING (family, key)
WHERE m.lane = $1 AND m.id > $2 AND m.family = ANY($3::text[])
ORDER BY m.id LIMIT $4"""


async def fetch(
    conn: Leader, lane: Lane, families: Mapping[str, Family], after: int, limit: int
) -> tuple[list[Marked], int, int]:
    """Marked records in the order of their marks, the last mark's id, and how many marks were read.

    Marks and records are read in one snapshot, so no record is older than its marks.
    """
    rows = await conn.fetch(_FETCH, lane.value, after, list(families), limit)
    found: dict[tuple[str, str], Marked] = {}
    for ident, family, key, traceparent, epoch, n, body in rows:
        marked = found.get((family, key))
        if marked is None:
            found[family, key] = Marked(families[family], key, epoch, n, body, traceparent, [ident])
        else:
            marked.ids.append(ident)
            marked.traceparent = traceparent or marked.traceparent
    return list(found.values()), (rows[-1]["id"] if rows else after), len(rows)


def as_kept(_family: str, _key: str, kept: str) -> str:
    """The body unchanged: for records that are not encrypted at rest."""
    return kept


def message(marked: Marked, lane: Lane, decrypt_record: DecryptRecord) -> OutboxMessage:
    """The Kafka message: the bytes that `envelope.encode` would make of the record at its version."""
    family, version = marked.family, f"{marked.epoch}.{marked.n}"
    if _of_party(family):
        marked.sent = tracing.fresh()
    elif marked.traceparent:
        marked.sent = tracing.child(marked.traceparent)
    key = marked.key.encode()
    marked.partition = partition_of(key, PARTITIONS)
    headers = envelope.headers(
        family.record.type_name(),
        key=marked.key,
        source=family.writer,
        version=version,
        traceparent=marked.sent,
        ident=f"{marked.key}.{version}",  # sent twice, it is the same event
    )
    body = decrypt_record(family.name, marked.key, marked.body)
    value = record_bytes(version, body)
    return OutboxMessage(family.topic(lane), marked.partition, key, value, headers)


def _of_party(family: Family) -> bool:
    """Whether it is a company's or partner's family; the names of our own families have no dot."""
    return "." in family.name


_DELETE_MARKS = "DELETE FROM marks WHERE lane = $1 AND id = ANY($2::bigint[])"

_PUBLISHED = """
WITH gone AS (DELETE FROM marks WHERE lane = $1 AND id = ANY($2::bigint[]))
INSERT INTO publications (family, key, epoch, n, topic, topic_id, partition, "offset", traceparent, trace)
SELECT * FROM unnest($3::text[], $4::text[], $5::integer[], $6::bigint[], $7::text[], $8::uuid[],
    $9::integer[], $10::bigint[], $11::text[], $12::text[])"""


async def published(
    conn: Leader,
    lane: Lane,
    done: Sequence[tuple[Marked, int]],
    topic_ids: Mapping[str, UUID],
) -> None:
    """Delete exactly the marks that were read, and note where parties' records stand: one statement.

    `done`: what the broker has acknowledged, with its offset.
    """
    ids = [ident for marked, _ in done for ident in marked.ids]
    kept = [(marked, offset) for marked, offset in done if _of_party(marked.family)]
    records = [marked for marked, _ in kept]
    if not kept:
        await conn.execute(_DELETE_MARKS, lane.value, ids)
        return
    topics = [marked.family.topic(lane) for marked in records]
    await conn.execute(
        _PUBLISHED,
        lane.value,
        ids,
        *columns(records, "family.name", "key", "epoch", "n"),
        topics,
        [topic_ids[topic] for topic in topics],
        *columns(records, "partition"),
        [offset for _, offset in kept],
        *columns(records, "traceparent"),
        [tracing.trace_id(marked.sent) if marked.sent else None for marked in records],
    )
