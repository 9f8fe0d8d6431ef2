"""Finding customers and loading them whole."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
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


async def organisations(conn: Conn, ids: Iterable[UUID]) -> dict[UUID, set[str]]:
    """Those of `ids` that are organisations, with the companies in which they are or were customers."""
    rows = await conn.fetch(
        """
        SELECT o.id, array_agg(c.company) FILTER (WHERE c.company IS NOT NULL) AS companies
        FROM customers o LEFT JOIN customerships c ON c.customer = o.id
        WHERE o.id = ANY ($1::uuid[]) AND o.recipient = 'legal' GROUP BY o.id""",
        list(set(ids)),
    )
    return {r["id"]: set(r["companies"] or ()) for r in rows}


async def minors(conn: Conn, after: UUID, limit: int) -> list[UUID]:
    """The next customers marked as minors, by id."""
    rows = await conn.fetch(
        "SELECT id FROM customers WHERE minor AND id > $1 ORDER BY id LIMIT $2", after, limit
    )
    return [r["id"] for r in rows]


async def load(conn: Conn, keys: Keys, ids: Iterable[UUID], *, lock: bool = False) -> dict[UUID, Stored]:
    """Customers with their contact points and customerships; with `lock` their rows are locked, in the
    order of ids.
    """
    wanted = list(set(ids))
    if not wanted:
        return {}
    rows = await conn.fetch(_CUSTOMERS_LOCKED if lock else _CUSTOMERS, wanted)
    data_keys = {r["id"]: keys.data_key(r["id"], r["data_key"]) for r in rows}
    points = _grouped(await conn.fetch(_POINTS, wanted))
    identifiers = _grouped(await conn.fetch(_IDENTIFIERS, wanted))
    customerships = _grouped(await conn.fetch(_CUSTOMERSHIPS, wanted))
    return {
        r["id"]: Stored(
            _customer(r, data_keys[r["id"]], points[r["id"]], identifiers[r["id"]], customerships[r["id"]]),
            r["revision"],
            data_keys[r["id"]],
        )
        for r in rows
    }


_CUSTOMERS = """
    SELECT id, recipient, data_key, profile, minor, deceased, safety_ban, organisation, sources, revision
    FROM customers WHERE id = ANY ($1::uuid[]) ORDER BY id"""
_CUSTOMERS_LOCKED = _CUSTOMERS + " FOR NO KEY UPDATE"
_POINTS = """
    SELECT id, customer, kind, value, role_address, sales, holders
    FROM points WHERE customer = ANY ($1::uuid[]) ORDER BY id"""
_IDENTIFIERS = """
    SELECT blind, customer, kind, value FROM identifiers WHERE customer = ANY ($1::uuid[]) AND is_current"""
_CUSTOMERSHIPS = """
    SELECT canonical, company, number, customer, since, ended
    FROM customerships WHERE customer = ANY ($1::uuid[]) ORDER BY canonical"""

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
