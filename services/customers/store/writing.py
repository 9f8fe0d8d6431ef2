"""Storing customers: what changed, by a few statements for any number of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from kielto.service.keys import DataKey, Keys
from kielto.service.postgres import Conn
from services.customers.model.customer import Customer, Point
from services.customers.store.sealing import BUSINESS, IDENTITY, context, seal_profile


class Taken(Exception):
    """Another transaction gave a number or identifier to another customer in the meantime: begin again."""


@dataclass(frozen=True, slots=True)
class Write:
    """A customer to be stored. `old` and `key` are those that were loaded, none for a new one.

    `identity_code` is the code in clear where a new one was given; it is sealed here.
    """

    new: Customer
    old: Customer | None = None
    key: DataKey | None = None
    identity_code: str | None = None


async def new_ids(conn: Conn, count: int) -> list[UUID]:
    """UUIDs of version 7, rising."""
    rows = await conn.fetch("SELECT uuidv7() AS id FROM generate_series(1, $1)", count)
    return [r["id"] for r in rows]


def identity_index(keys: Keys, code: str) -> bytes:
    return keys.blind_index(IDENTITY, code)


def business_index(keys: Keys, business_id: str) -> bytes:
    return keys.blind_index(BUSINESS, business_id)


async def store(conn: Conn, keys: Keys, writes: Sequence[Write]) -> dict[UUID, int]:
    """Store them; the revision of each. Raises Taken."""
    data_keys, wrapped = _data_keys(keys, writes)
    revisions = await _customers(conn, writes, data_keys, wrapped)
    await _identifiers(conn, keys, writes, data_keys)
    await _points(conn, keys, writes, data_keys)
    await _customerships(conn, writes)
    return revisions


def _data_keys(keys: Keys, writes: Sequence[Write]) -> tuple[dict[UUID, DataKey], dict[UUID, bytes]]:
    data_keys: dict[UUID, DataKey] = {}
    wrapped: dict[UUID, bytes] = {}
    for write in writes:
        ident = write.new.id
        if write.key is not None:
            data_keys[ident] = write.key
        else:
            data_keys[ident], wrapped[ident] = keys.new_data_key(ident)
    return data_keys, wrapped


_INSERT_CUSTOMERS = """
    INSERT INTO customers
        (id, recipient, data_key, profile, minor, deceased, safety_ban, organisation, sources)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::bytea[], $5::boolean[], $6::boolean[],
                         $7::boolean[], $8::uuid[], $9::jsonb[])
    RETURNING id, revision"""
_UPDATE_CUSTOMERS = """
    UPDATE customers c
    SET recipient = n.recipient, profile = n.profile, minor = n.minor, deceased = n.deceased,
        safety_ban = n.safety_ban, organisation = n.organisation, sources = n.sources,
        revision = c.revision + 1, changed_at = now()
    FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::boolean[], $5::boolean[], $6::boolean[],
                $7::uuid[], $8::jsonb[])
        AS n (id, recipient, profile, minor, deceased, safety_ban, organisation, sources)
    WHERE c.id = n.id
    RETURNING c.id, c.revision"""


async def _customers(
    conn: Conn, writes: Sequence[Write], data_keys: dict[UUID, DataKey], wrapped: dict[UUID, bytes]
) -> dict[UUID, int]:
    def plain(customer: Customer) -> tuple[Any, ...]:
        sources = orjson.dumps({f: {"source": s.source, "at": s.at} for f, s in customer.sources.items()})
        flags = (customer.minor, customer.deceased, customer.safety_ban)
        return (*flags, customer.organisation, sources.decode())

    inserts, updates = [], []
    for write in writes:
        new = write.new
        profile = seal_profile(data_keys[new.id], new)
        if write.old is None:
            inserts.append((new.id, new.recipient, wrapped[new.id], profile, *plain(new)))
        else:
            updates.append((new.id, new.recipient, profile, *plain(new)))
    rows = []
    if inserts:
        rows += await conn.fetch(_INSERT_CUSTOMERS, *_columns(inserts))
    if updates:
        rows += await conn.fetch(_UPDATE_CUSTOMERS, *_columns(updates))
    return {r["id"]: r["revision"] for r in rows}


_RETIRE_IDENTIFIERS = """
    UPDATE identifiers i SET is_current = false
    FROM unnest($1::uuid[], $2::text[]) AS n (customer, kind)
    WHERE i.customer = n.customer AND i.kind = n.kind AND i.is_current"""
_UPSERT_IDENTIFIERS = """
    INSERT INTO identifiers AS i (blind, kind, customer, value, is_current)
    SELECT n.*, true FROM unnest($1::bytea[], $2::text[], $3::uuid[], $4::bytea[]) AS n
    ON CONFLICT (blind) DO UPDATE SET is_current = true WHERE i.customer = excluded.customer"""


async def _identifiers(
    conn: Conn, keys: Keys, writes: Sequence[Write], data_keys: dict[UUID, DataKey]
) -> None:
    """A changed identifier stays, not current."""
    retired: list[tuple[UUID, str]] = []
    given: list[tuple[bytes, str, UUID, bytes]] = []

    def change(write: Write, kind: str, blind: bytes | None, value: str | None) -> None:
        if write.old is not None:
            retired.append((write.new.id, kind))
        if blind is not None and value is not None:
            sealed = data_keys[write.new.id].encrypt(value, context(kind, write.new.id))
            given.append((blind, kind, write.new.id, sealed))

    for write in writes:
        new, old = write.new, write.old
        if new.identity != (old.identity if old else None):
            change(write, IDENTITY, new.identity, write.identity_code)
        if new.business_id != (old.business_id if old else None):
            blind = business_index(keys, new.business_id) if new.business_id else None
            change(write, BUSINESS, blind, new.business_id)
    if retired:
        await conn.execute(_RETIRE_IDENTIFIERS, *_columns(retired))
    if given:
        await _all(conn, _UPSERT_IDENTIFIERS, given)


_DELETE_POINTS = "DELETE FROM points WHERE id = ANY ($1::uuid[])"
_INSERT_POINTS = """
    INSERT INTO points (id, customer, kind, value, blind, role_address, sales, holders)
    SELECT n.id, n.customer, n.kind, n.value, n.blind, n.role_address, n.sales,
           string_to_array(n.holders, ',')
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::bytea[], $6::boolean[], $7::jsonb[],
                $8::text[])
        AS n (id, customer, kind, value, blind, role_address, sales, holders)"""
_UPDATE_POINTS = """
    UPDATE points p
    SET role_address = n.role_address, sales = n.sales, holders = string_to_array(n.holders, ',')
    FROM unnest($1::uuid[], $2::boolean[], $3::jsonb[], $4::text[]) AS n (id, role_address, sales, holders)
    WHERE p.id = n.id"""


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
                key = data_keys[write.new.id]
                sealed = key.encrypt(point.value, context("point", point.id))
                blind = keys.blind_index(*point.key)
                added.append((point.id, write.new.id, point.kind, sealed, blind, *_claims(point)))
            elif point != before[point.id]:
                changed.append((point.id, *_claims(point)))
    if gone:
        await conn.execute(_DELETE_POINTS, gone)
    if added:
        await conn.execute(_INSERT_POINTS, *_columns(added))
    if changed:
        await conn.execute(_UPDATE_POINTS, *_columns(changed))


def _claims(point: Point) -> tuple[bool, str, str]:
    sales = [
        {
            "seller": s.seller,
            "date": s.date.isoformat(),
            "product_group": s.product_group,
            "ban_offered": s.ban_offered,
        }
        for s in point.sales
    ]
    return point.role_address, orjson.dumps(sales).decode(), ",".join(point.holders)


_UPSERT_CUSTOMERSHIPS = """
    INSERT INTO customerships AS c (canonical, company, number, customer, since, ended)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::date[], $6::date[])
    ON CONFLICT (canonical) DO UPDATE SET since = excluded.since, ended = excluded.ended
    WHERE c.customer = excluded.customer"""


async def _customerships(conn: Conn, writes: Sequence[Write]) -> None:
    rows = [
        (c.canonical, c.company, c.number, write.new.id, c.since, c.ended)
        for write in writes
        for c in write.new.customerships
        if write.old is None or c not in write.old.customerships
    ]
    if rows:
        await _all(conn, _UPSERT_CUSTOMERSHIPS, sorted(rows, key=lambda r: r[0]))


async def _all(conn: Conn, upsert: str, rows: Sequence[tuple[Any, ...]]) -> None:
    """An upsert passes over a row that meanwhile became another customer's; the count shows it."""
    status = await conn.execute(upsert, *_columns(rows))
    if int(status.rpartition(" ")[2]) != len(rows):
        raise Taken


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
