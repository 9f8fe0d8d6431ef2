"""Finding customers and loading them whole."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson

from kielto.events.words import PointKind, Recipient
from kielto.service.keys import DataKey, Keys
from kielto.service.postgres import Conn
from services.customers.model.customer import Customer, Customership, Point, Sale, Source
from services.customers.store.sealing import BUSINESS, context, open_profile


@dataclass(frozen=True, slots=True)
class Stored:
    """A customer with what only the store needs."""

    customer: Customer
    revision: int
    key: DataKey


class Alias(NamedTuple):
    """What is left of a customer who was merged into another one."""

    id: UUID
    recipient: Recipient
    survivor: UUID
    companies: tuple[str, ...]
    revision: int


async def by_number(conn: Conn, canonical: Sequence[str]) -> dict[str, UUID]:
    """Customers by canonical customer number."""
    rows = await conn.fetch(
        "SELECT canonical, customer FROM customerships WHERE canonical = ANY ($1::text[])", canonical
    )
    return {r["canonical"]: r["customer"] for r in rows}


async def by_identifier(conn: Conn, blind: Sequence[bytes]) -> dict[bytes, UUID]:
    """Customers by the blind index of an identity code or business id, present or former."""
    if not blind:
        return {}
    rows = await conn.fetch("SELECT blind, customer FROM identifiers WHERE blind = ANY ($1::bytea[])", blind)
    return {r["blind"]: r["customer"] for r in rows}


async def organisations(conn: Conn, ids: Iterable[UUID]) -> dict[UUID, tuple[UUID, set[str]]]:
    """Those of `ids` that are organisations, or aliases of one: which, and the companies in which it is or was a
    customer.
    """
    rows = await conn.fetch(
        """
        SELECT named.id AS named, o.id, array_agg(c.company) FILTER (WHERE c.company IS NOT NULL) AS companies
        FROM customers named JOIN customers o ON o.id = coalesce(named.alias_of, named.id)
        LEFT JOIN customerships c ON c.customer = o.id
        WHERE named.id = ANY ($1::uuid[]) AND o.recipient = 'legal' GROUP BY named.id, o.id""",
        list(set(ids)),
    )
    return {r["named"]: (r["id"], set(r["companies"] or ())) for r in rows}


async def alias(conn: Conn, ident: UUID) -> Alias | None:
    row = await conn.fetchrow(
        "SELECT recipient, alias_of, companies, revision FROM customers WHERE id = $1 AND alias_of IS NOT NULL",
        ident,
    )
    if row is None:
        return None
    companies = tuple(row["companies"])
    return Alias(ident, Recipient(row["recipient"]), row["alias_of"], companies, row["revision"])


async def minors(conn: Conn, after: UUID, limit: int) -> list[UUID]:
    """The next customers marked as minors, by id."""
    rows = await conn.fetch(
        "SELECT id FROM customers WHERE minor AND id > $1 ORDER BY id LIMIT $2", after, limit
    )
    return [r["id"] for r in rows]


async def after(conn: Conn, ident: UUID, limit: int) -> list[UUID]:
    """The next customers by ascending id, without those who were merged away."""
    rows = await conn.fetch(
        "SELECT id FROM customers WHERE id > $1 AND alias_of IS NULL ORDER BY id LIMIT $2", ident, limit
    )
    return [r["id"] for r in rows]


async def load(conn: Conn, keys: Keys, ids: Iterable[UUID], *, lock: bool = False) -> dict[UUID, Stored]:
    """Customers with their contact points and customerships, no aliases; with `lock` their rows are locked, in
    the order of ids.
    """
    wanted = list(set(ids))
    if not wanted:
        return {}
    rows = await conn.fetch(_CUSTOMERS_LOCKED if lock else _CUSTOMERS, wanted)
    data_keys = {r["id"]: keys.data_key(r["id"], r["data_key"]) for r in rows}
    points = _grouped(await conn.fetch(_POINTS, wanted))
    identifiers = _grouped(await conn.fetch(_IDENTIFIERS, wanted))
    customerships = _grouped(await conn.fetch(_CUSTOMERSHIPS, wanted))
    aliases = _grouped(await conn.fetch(_ALIASES, wanted))

    def stored(row: asyncpg.Record) -> Stored:
        ident, key = row["id"], data_keys[row["id"]]
        customer = _customer(row, key, points[ident], identifiers[ident], customerships[ident])
        merged = tuple(alias["id"] for alias in aliases[ident])
        return Stored(replace(customer, aliases=merged), row["revision"], key)

    return {r["id"]: stored(r) for r in rows}


_CUSTOMERS = """
    SELECT id, recipient, data_key, profile, minor, deceased, safety_ban, organisation, sources, revision
    FROM customers WHERE id = ANY ($1::uuid[]) AND alias_of IS NULL ORDER BY id"""
_CUSTOMERS_LOCKED = _CUSTOMERS + " FOR NO KEY UPDATE"
_POINTS = """
    SELECT id, customer, kind, value, role_address, sales, holders
    FROM points WHERE customer = ANY ($1::uuid[]) ORDER BY id"""
_IDENTIFIERS = """
    SELECT blind, customer, kind, value FROM identifiers WHERE customer = ANY ($1::uuid[]) AND is_current"""
_CUSTOMERSHIPS = """
    SELECT canonical, company, number, customer, since, ended
    FROM customerships WHERE customer = ANY ($1::uuid[]) ORDER BY canonical"""
_ALIASES = "SELECT id, alias_of AS customer FROM customers WHERE alias_of = ANY ($1::uuid[]) ORDER BY id"

_Rows = list[asyncpg.Record]


def _grouped(rows: _Rows) -> defaultdict[UUID, _Rows]:
    groups: defaultdict[UUID, _Rows] = defaultdict(list)
    for row in rows:
        groups[row["customer"]].append(row)
    return groups


def _customer(
    row: asyncpg.Record, key: DataKey, points: _Rows, identifiers: _Rows, customerships: _Rows
) -> Customer:
    sealed = {r["kind"]: r for r in identifiers}
    business = sealed.get(BUSINESS)
    return Customer(
        id=row["id"],
        recipient=Recipient(row["recipient"]),
        identity=sealed["identity_code"]["blind"] if "identity_code" in sealed else None,
        business_id=key.decrypt(business["value"], context(BUSINESS, row["id"])) if business else None,
        minor=row["minor"],
        deceased=row["deceased"],
        safety_ban=row["safety_ban"],
        organisation=row["organisation"],
        points=tuple(_point(p, key) for p in points),
        customerships=tuple(
            Customership(c["company"], c["number"], c["canonical"], c["since"], c["ended"])
            for c in customerships
        ),
        sources={f: Source(**s) for f, s in orjson.loads(row["sources"]).items()},
        **open_profile(key, row["id"], row["profile"]),
    )


def _point(row: asyncpg.Record, key: DataKey) -> Point:
    sales = (
        Sale(s["seller"], date.fromisoformat(s["date"]), s["product_group"], s["ban_offered"])
        for s in orjson.loads(row["sales"])
    )
    return Point(
        id=row["id"],
        kind=PointKind(row["kind"]),
        value=key.decrypt(row["value"], context("point", row["id"])),
        role_address=row["role_address"],
        sales=tuple(sales),
        holders=tuple(row["holders"]),
    )
