"""The state outbox: records, marks that say which records to publish, and plain rows for messages that are not state.

Everything here runs in the caller's transaction. The relay (`relay.py`) publishes each marked record's *current*
state, so a key never has two versions waiting, and an older permit cannot overtake a newer ban.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from types import MappingProxyType
from uuid import UUID

from kielto.events import envelope
from kielto.events.base import MAX_BYTES, Event
from kielto.events.envelope import MessageTooLargeError
from kielto.events.records import Record
from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.service.database import epoch
from kielto.service.database.pool import Conn, columns

EXPRESS, REPORTS = "kielto_express", "kielto_reports"
"""Channels of NOTIFY. Bulk marks have none: NOTIFY takes a lock at commit, and a permit can wait for the next look."""

_ROOM = 64  # bytes that `"version":"<epoch>.<n>",` may take


@dataclass(frozen=True, slots=True)
class RecordChange:
    """A record as it shall be from now on. `record.version` is ignored (write "0.0"): the outbox gives the
    version.

    `express`: something that was allowed is allowed no longer, or the restrictions grew. A family with one
    topic (`….customers`) always goes by bulk. The order of `restrictions` does not matter.

    `encrypt` (`Keys.encrypt_record`) is given for a record with names or addresses: it is not kept in clear.
    """

    family: str
    key: str
    record: Record
    express: bool
    restrictions: tuple[UUID, ...] = ()
    decision: UUID | None = None
    encrypt: Callable[[str, str, str], str] | None = None
    marked: bool = True
    """False: of a party that has left the group. It is stored, and published if the party comes back."""


async def publish(
    conn: Conn,
    changes: Sequence[RecordChange],
    *,
    traceparent: str | None = None,
    before: Mapping[tuple[str, str], Version] = MappingProxyType({}),
) -> list[Version]:
    """Store changed records and return each record's version in the given order.

    One round trip, two when something is unchanged that is not in `before`: versions by family and key that the caller
    has read, of records whose bodies nobody else can change until its transaction ends.
    """
    versions = await put(conn, changes, traceparent=traceparent)
    keys = [(change.family, change.key) for change in changes]
    versions |= {key: before[key] for key in keys if key in before and key not in versions}
    if same := [key for key in keys if key not in versions]:
        versions |= await _present(conn, same)
    return [versions[key] for key in keys]


# A conflicting row is locked even where the WHERE says that nothing changes (PostgreSQL: INSERT, ON
# CONFLICT). Its epoch may have been raised since this statement looked; it never goes down. One row always comes back,
# without a key when nothing differs; none means that no epoch is open. A record's lane is asked for by IN, which is
# hashed: where plans are made by key (`pool.BY_KEY`) a join would compare each record with each.
_PUBLISH = """
WITH current AS MATERIALIZED (
    SELECT epoch FROM current_epoch
), new AS (
    SELECT c.family, c.key, c.status, c.body::json, c.restrictions::uuid[], c.decision, c.lane
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[])
        AS c (family, key, status, body, restrictions, decision, lane)
    WHERE EXISTS (SELECT FROM current)
), kept AS (
    INSERT INTO records AS r (family, key, epoch, n, status, body, restrictions, decision)
    SELECT family, key, (SELECT epoch FROM current), 1, status, body, restrictions, decision
    FROM new ORDER BY family, key
    ON CONFLICT (family, key) DO UPDATE SET
        epoch = greatest(r.epoch, excluded.epoch), n = r.n + 1, status = excluded.status, body = excluded.body,
        restrictions = excluded.restrictions, decision = excluded.decision, changed_at = now()
    WHERE r.status <> excluded.status OR r.restrictions <> excluded.restrictions
        OR r.body::jsonb - '{changed_at,decision}'::text[]
            <> excluded.body::jsonb - '{changed_at,decision}'::text[]
    RETURNING family, key, epoch, n
), marked AS (
    INSERT INTO marks (lane, family, key, traceparent)
    SELECT CASE WHEN (family, key) IN (SELECT family, key FROM new WHERE lane = 'express')
        THEN 'express' ELSE 'bulk' END, family, key, $8::text
    FROM kept WHERE (family, key) NOT IN (SELECT family, key FROM new WHERE lane IS NULL)
    RETURNING lane
)
SELECT k.family, k.key, coalesce(k.epoch, c.epoch) AS epoch, coalesce(k.n, 0) AS n,
    (SELECT pg_notify('kielto_express', '')::text FROM marked WHERE lane = 'express' LIMIT 1) AS notified
FROM current c LEFT JOIN kept k ON true"""


async def put(
    conn: Conn, changes: Sequence[RecordChange], *, traceparent: str | None = None
) -> dict[tuple[str, str], Version]:
    """Store what differs from the stored record, raise its version and mark it; the versions of those, by family and
    key. One round trip, however many are unchanged: a company whose request this is does not learn by the time whether
    others have a record of the same customer.

    Nothing happens to a record whose body (apart from `changed_at` and `decision`), status and restrictions
    are the same. Rows are locked in the order (family, key), changed or not. Raises MessageTooLargeError,
    `epoch.EpochNotOpenError`, and ValueError when a record is named twice.
    """
    if not changes:
        return {}
    keys = [(change.family, change.key) for change in changes]
    if len(set(keys)) != len(keys):
        raise ValueError("changes: each record must be named once")
    rows = await conn.fetch(
        _PUBLISH,
        *columns(changes, "family", "key", "record.status.value"),
        [_body(change) for change in changes],
        ["{" + ",".join(sorted(map(str, change.restrictions))) + "}" for change in changes],
        [change.decision for change in changes],
        [_lane(change).value if change.marked else None for change in changes],
        traceparent,
    )
    if not rows:
        raise epoch.EpochNotOpenError
    return {(row["family"], row["key"]): Version(row["epoch"], row["n"]) for row in rows if row["key"]}


def _body(change: RecordChange) -> str:
    record = change.record
    body = record.model_dump_json(exclude={"version"}, exclude_defaults=True)
    if len(body.encode()) > MAX_BYTES - _ROOM:
        raise MessageTooLargeError(f"{record.kind}: the message is larger than {MAX_BYTES} bytes")
    return change.encrypt(change.family, change.key, body) if change.encrypt else body


def _lane(change: RecordChange) -> Lane:
    return Lane.EXPRESS if change.express and not change.family.endswith(".customers") else Lane.BULK


_RENEW = """
WITH wanted AS (
    SELECT key, n FROM unnest($2::text[], $3::bigint[]) AS w (key, n)
), held AS (
    SELECT r.key FROM records r JOIN wanted w USING (key) WHERE r.family = $1 ORDER BY r.key FOR UPDATE OF r
), raised AS (
    UPDATE records r SET n = greatest(r.n, w.n) + 1 FROM wanted w JOIN held h USING (key)
    WHERE r.family = $1 AND r.key = w.key RETURNING r.key
), marked AS (
    INSERT INTO marks (lane, family, key)
    SELECT CASE WHEN key = ANY ($4::text[]) THEN 'bulk' ELSE 'express' END, $1, key FROM raised RETURNING lane
)
SELECT pg_notify('kielto_express', '') FROM marked WHERE lane = 'express' LIMIT 1"""


async def renew(
    conn: Conn, family: str, above: Sequence[tuple[str, int]], *, bulk: Collection[str] = ()
) -> None:
    """Give each of these records a version above its number `n`, otherwise unchanged, and mark it on the express lane
    (`bulk`: on the bulk lane), so that it replaces whatever a reader has under that key.
    """
    keys, numbers = [key for key, _ in above], [n for _, n in above]
    await conn.execute(_RENEW, family, keys, numbers, list(bulk))


_PRESENT = """
SELECT r.family, r.key, r.epoch, r.n
FROM unnest($1::text[], $2::text[]) AS c (family, key) JOIN records r USING (family, key)"""


async def _present(conn: Conn, keys: list[tuple[str, str]]) -> dict[tuple[str, str], Version]:
    """The versions of unchanged records. Their rows are locked by now, so nobody can change them in between."""
    rows = await conn.fetch(_PRESENT, [family for family, _ in keys], [key for _, key in keys])
    return {(row["family"], row["key"]): Version(row["epoch"], row["n"]) for row in rows}


async def report(
    conn: Conn, topic: str, key: str, event: Event, *, source: str, traceparent: str | None = None
) -> None:
    """Queue one message of a retained topic, sent in order after the commit. Raises MessageTooLargeError."""
    await report_many(conn, topic, [(key, event)], source=source, traceparent=traceparent)


_REPORT = """
WITH queued AS (
    INSERT INTO reports (topic, key, value, headers)
    SELECT topic, key, value, headers::jsonb
    FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[]) WITH ORDINALITY
        AS r (topic, key, value, headers, place)
    WHERE NOT EXISTS (SELECT FROM parties p WHERE p.left_at IS NOT NULL AND starts_with(r.topic, p.party || '.'))
    ORDER BY place
    RETURNING 1
)
SELECT pg_notify('kielto_reports', '') FROM queued LIMIT 1"""


async def report_many(
    conn: Conn,
    topic: str,
    events: Sequence[tuple[str, Event]],
    *,
    source: str,
    traceparent: str | None = None,
) -> None:
    """Queue many (key, event) in one round trip; messages for a party that has left are dropped. `traceparent` must be
    one that the topic's party may see.
    """
    messages = [
        envelope.encode(event, key=key, source=source, traceparent=traceparent) for key, event in events
    ]
    await conn.execute(
        _REPORT,
        list(repeat(topic, len(messages))),
        [key for key, _ in events],
        [message.value for message in messages],
        [json.dumps([(name, value.decode()) for name, value in message.headers]) for message in messages],
    )
