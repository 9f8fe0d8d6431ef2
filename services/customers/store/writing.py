"""Storing customers: what changed, by a few statements for any number of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from kielto.service.database.pool import Conn
from kielto.service.support.crypto_keys import DataKey, Keys
from services.customers.model import entitlement
from services.customers.model.customer import Facts, RegisteredCustomer, StoredCustomer
from services.customers.store.encryption import BUSINESS, IDENTITY, context, encrypt_profile


class ConcurrentChangeError(Exception):
    """Another transaction gave a number or identifier to another customer in the meantime: begin again."""


@dataclass(frozen=True, slots=True)
class Write:
    """A customer to be stored. `before` is what was loaded, none for a new one; `old` what the rows hold of it, where
    some were moved since.

    `identity_code` is the code in clear where a new one was given; it is encrypted here.
    """

    new: RegisteredCustomer
    before: StoredCustomer | None = None
    identity_code: str | None = None
    moved: RegisteredCustomer | None = None

    @property
    def old(self) -> RegisteredCustomer | None:
        return self.moved or (self.before.customer if self.before else None)


_NEW_IDS = "SELECT uuidv7() AS id FROM generate_series(1, $1)"


async def new_ids(conn: Conn, count: int) -> list[UUID]:
    """UUIDs of version 7, rising."""
    return [r["id"] for r in await conn.fetch(_NEW_IDS, count)]


async def store(conn: Conn, keys: Keys, writes: Sequence[Write]) -> dict[UUID, dict[str, int]]:
    """Store them; the revisions of each. Raises ConcurrentChangeError. The statements do not depend on what is
    written.
    """
    data_keys, wrapped = _data_keys(keys, writes)
    revisions = await _customers(conn, writes, wrapped)
    await _statements(conn, writes, data_keys)
    await _identifiers(conn, keys, writes, data_keys)
    await _points(conn, keys, writes, data_keys)
    await _customerships(conn, writes)
    return revisions


def _data_keys(keys: Keys, writes: Sequence[Write]) -> tuple[dict[UUID, DataKey], dict[UUID, bytes]]:
    data_keys: dict[UUID, DataKey] = {}
    wrapped: dict[UUID, bytes] = {}
    for write in writes:
        ident = write.new.id
        if write.before is not None:
            data_keys[ident] = write.before.key
        else:
            data_keys[ident], wrapped[ident] = keys.new_data_key(ident)
    return data_keys, wrapped


_INSERT_CUSTOMERS = """
INSERT INTO customers (id, data_key, revisions)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::jsonb[])"""

_UPDATE_CUSTOMERS = """
UPDATE customers c SET revisions = n.revisions, changed_at = now()
FROM unnest($1::uuid[], $2::jsonb[]) AS n (id, revisions) WHERE c.id = n.id"""


async def _customers(
    conn: Conn, writes: Sequence[Write], wrapped: dict[UUID, bytes]
) -> dict[UUID, dict[str, int]]:
    revisions: dict[UUID, dict[str, int]] = {}
    inserts, updates = [], []
    for write in writes:
        before, ident = write.before, write.new.id
        old, held = (before.customer, before.revisions) if before else (None, {})
        revisions[ident] = entitlement.revisions(old, write.new, held)
        text = orjson.dumps(revisions[ident]).decode()
        if before is None:
            inserts.append((ident, wrapped[ident], text))
        else:
            updates.append((ident, text))
    await conn.execute(_INSERT_CUSTOMERS, *_columns(inserts, 3))
    await conn.execute(_UPDATE_CUSTOMERS, *_columns(updates, 2))
    return revisions


_UPSERT_STATEMENTS = """
INSERT INTO statements
    (customer, source, recipient, minor, deceased, safety_ban, organisation, person, profile, stated_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::boolean[], $6::boolean[],
                     $7::uuid[], $8::uuid[], $9::bytea[], $10::jsonb[])
ON CONFLICT (customer, source) DO UPDATE SET
    recipient = excluded.recipient, minor = excluded.minor, deceased = excluded.deceased,
    safety_ban = excluded.safety_ban, organisation = excluded.organisation, person = excluded.person,
    profile = excluded.profile, stated_at = excluded.stated_at"""


async def _statements(conn: Conn, writes: Sequence[Write], data_keys: dict[UUID, DataKey]) -> None:
    rows = [
        _statement(write.new.id, source, facts, data_keys[write.new.id])
        for write in writes
        for source, facts in write.new.facts.items()
        if write.old is None or write.old.facts.get(source) != facts
    ]
    await conn.execute(_UPSERT_STATEMENTS, *_columns(rows, 10))


def _statement(ident: UUID, source: str, facts: Facts, key: DataKey) -> tuple[Any, ...]:
    flags = (facts.minor, facts.deceased, facts.safety_ban)
    encrypted = encrypt_profile(key, ident, source, facts)
    at = orjson.dumps(facts.at).decode()
    return (ident, source, facts.recipient, *flags, facts.organisation, facts.person, encrypted, at)


_RETIRE_IDENTIFIERS = """
UPDATE identifiers i SET is_current = false
FROM unnest($1::uuid[], $2::text[], $3::text[]) AS n (customer, source, kind)
WHERE i.customer = n.customer AND i.source = n.source AND i.kind = n.kind AND i.is_current"""

_UPSERT_IDENTIFIERS = """
INSERT INTO identifiers AS i (blind, source, kind, customer, value, is_current)
SELECT n.*, true
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::uuid[], $5::bytea[]) AS n
ON CONFLICT (blind, source) DO UPDATE SET is_current = true WHERE i.customer = excluded.customer"""


async def _identifiers(
    conn: Conn, keys: Keys, writes: Sequence[Write], data_keys: dict[UUID, DataKey]
) -> None:
    """A changed identifier stays, not current."""
    retired: list[tuple[UUID, str, str]] = []
    given: list[tuple[bytes, str, str, UUID, bytes]] = []
    for write in writes:
        ident = write.new.id
        for source, facts in write.new.facts.items():
            old = write.old.stated_by(source) if write.old else Facts()
            if facts.identity != old.identity:
                retired.append((ident, source, IDENTITY))
                if facts.identity and write.identity_code:
                    value = data_keys[ident].encrypt(write.identity_code, context(IDENTITY, ident))
                    given.append((facts.identity, source, IDENTITY, ident, value))
            if facts.business_id != old.business_id:
                retired.append((ident, source, BUSINESS))
                if facts.business_id:
                    value = data_keys[ident].encrypt(facts.business_id, context(BUSINESS, ident))
                    blind = keys.blind_index(BUSINESS, facts.business_id)
                    given.append((blind, source, BUSINESS, ident, value))
    await conn.execute(_RETIRE_IDENTIFIERS, *_columns(retired, 3))
    await _all(conn, _UPSERT_IDENTIFIERS, sorted(given, key=lambda g: g[:2]), 5)


_DELETE_POINTS = "DELETE FROM points WHERE id = ANY ($1::uuid[])"

_INSERT_POINTS = """
INSERT INTO points (id, customer, kind, value, blind, claims, source)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::bytea[], $6::jsonb[], $7::text[])"""

_UPDATE_POINTS = """
UPDATE points p SET claims = n.claims, source = n.source
FROM unnest($1::uuid[], $2::jsonb[], $3::text[]) AS n (id, claims, source) WHERE p.id = n.id"""


async def _points(conn: Conn, keys: Keys, writes: Sequence[Write], data_keys: dict[UUID, DataKey]) -> None:
    gone: list[UUID] = []
    added: list[tuple[Any, ...]] = []
    changed: list[tuple[Any, ...]] = []
    for write in writes:
        before = {p.id: p for p in write.old.points} if write.old else {}
        after = {p.id: p for p in write.new.points}
        gone += before.keys() - after.keys()
        for point in after.values():
            if point.id not in before:
                encrypted = data_keys[write.new.id].encrypt(point.value, context("point", point.id))
                blind = keys.blind_index(*point.key)
                stated = (orjson.dumps(point.statements).decode(), point.source)
                added.append((point.id, write.new.id, point.kind, encrypted, blind, *stated))
            elif point != before[point.id]:
                changed.append((point.id, orjson.dumps(point.statements).decode(), point.source))
    await conn.execute(_DELETE_POINTS, gone)
    await conn.execute(_INSERT_POINTS, *_columns(added, 7))
    await conn.execute(_UPDATE_POINTS, *_columns(changed, 3))


_UPSERT_CUSTOMERSHIPS = """
INSERT INTO customerships AS c (canonical, company, number, customer, since, ended, ended_by)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::date[], $6::date[], $7::text[])
ON CONFLICT (canonical) DO UPDATE
SET since = excluded.since, ended = excluded.ended, ended_by = excluded.ended_by
WHERE c.customer = excluded.customer"""


async def _customerships(conn: Conn, writes: Sequence[Write]) -> None:
    rows = [
        (c.canonical, c.company, c.number, write.new.id, c.since, c.ended, c.ended_by)
        for write in writes
        for c in write.new.customerships
        if write.old is None or c not in write.old.customerships
    ]
    await _all(conn, _UPSERT_CUSTOMERSHIPS, sorted(rows, key=lambda r: r[0]), 7)


async def _all(conn: Conn, upsert: str, rows: Sequence[tuple[Any, ...]], width: int) -> None:
    """An upsert passes over a row that meanwhile became another customer's; the count shows it."""
    status = await conn.execute(upsert, *_columns(rows, width))
    if int(status.rpartition(" ")[2]) != len(rows):
        raise ConcurrentChangeError


def _columns(rows: Iterable[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
