"""Finding customers and loading them whole."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson
from pydantic import TypeAdapter

from kielto.events.words import PointKind, Recipient
from kielto.service.database.pool import Conn
from kielto.service.support.crypto_keys import DataKey, Keys
from services.customers.model.customer import (
    CustomerAlias,
    Customership,
    Facts,
    Point,
    PointStatement,
    RegisteredCustomer,
    StoredCustomer,
)
from services.customers.store.encryption import BUSINESS, IDENTITY, context, decrypt_profile


class KnownCustomer(NamedTuple):
    """`organisation_by`: the sources that call it an organisation; `companies`: in which it is or was a customer."""

    id: UUID
    organisation_by: frozenset[str]
    companies: frozenset[str]


_BY_NUMBER = "SELECT canonical, customer FROM customerships WHERE canonical = ANY ($1::text[])"


async def by_number(conn: Conn, canonical: Sequence[str]) -> dict[str, UUID]:
    """Customers by canonical customer number."""
    rows = await conn.fetch(_BY_NUMBER, canonical)
    return {r["canonical"]: r["customer"] for r in rows}


_BY_IDENTIFIER = """
SELECT blind, source, customer
FROM identifiers JOIN unnest($1::bytea[], $2::text[]) AS claimed (blind, source) USING (blind, source)"""


async def by_identifier(conn: Conn, claimed: Sequence[tuple[bytes, str]]) -> dict[tuple[bytes, str], UUID]:
    """Customers by the blind index of an identity code or business id, present or former, and the source that states
    it: what another source states is not found.
    """
    blinds, sources = [b for b, _ in claimed], [s for _, s in claimed]
    rows = await conn.fetch(_BY_IDENTIFIER, blinds, sources)
    return {(r["blind"], r["source"]): r["customer"] for r in rows}


_KNOWN = """
SELECT named.id AS named, c.id,
    array(SELECT source FROM statements WHERE customer = c.id AND recipient = 'legal') AS organisation_by,
    array(SELECT DISTINCT company FROM customerships WHERE customer = c.id) AS companies
FROM customers named JOIN customers c ON c.id = coalesce(named.alias_of, named.id)
WHERE named.id = ANY ($1::uuid[])"""


async def known(conn: Conn, ids: Iterable[UUID]) -> dict[UUID, KnownCustomer]:
    """Each of these that is in the register; of an alias the survivor."""
    return {
        r["named"]: KnownCustomer(r["id"], frozenset(r["organisation_by"]), frozenset(r["companies"]))
        for r in await conn.fetch(_KNOWN, list(set(ids)))
    }


_ALIAS = "SELECT alias_of, companies, revisions FROM customers WHERE id = $1 AND alias_of IS NOT NULL"


async def alias(conn: Conn, ident: UUID) -> CustomerAlias | None:
    row = await conn.fetchrow(_ALIAS, ident)
    if row is None:
        return None
    return CustomerAlias(ident, row["alias_of"], tuple(row["companies"]), orjson.loads(row["revisions"]))


_MINORS = "SELECT DISTINCT customer FROM statements WHERE minor AND customer > $1 ORDER BY customer LIMIT $2"


async def minors(conn: Conn, after: UUID, limit: int) -> list[UUID]:
    """The next customers of whom anybody states that they are minors, by id."""
    return [r["customer"] for r in await conn.fetch(_MINORS, after, limit)]


_AFTER = "SELECT id FROM customers WHERE id > $1 AND alias_of IS NULL ORDER BY id LIMIT $2"


async def after(conn: Conn, ident: UUID, limit: int) -> list[UUID]:
    """The next customers by ascending id, without those who were merged away."""
    rows = await conn.fetch(_AFTER, ident, limit)
    return [r["id"] for r in rows]


_CUSTOMERS = """
SELECT id, data_key, revisions FROM customers
WHERE id = ANY ($1::uuid[]) AND alias_of IS NULL ORDER BY id"""

_CUSTOMERS_LOCKED = _CUSTOMERS + " FOR NO KEY UPDATE"

_STATEMENTS = """
SELECT customer, source, recipient, minor, deceased, safety_ban, organisation, person, profile, stated_at
FROM statements WHERE customer = ANY ($1::uuid[])"""

_POINTS = "SELECT id, customer, kind, value, claims FROM points WHERE customer = ANY ($1::uuid[]) ORDER BY id"

_IDENTIFIERS = """
SELECT blind, source, customer, kind, value, is_current FROM identifiers WHERE customer = ANY ($1::uuid[])"""

_CUSTOMERSHIPS = """
SELECT canonical, company, number, customer, since, ended, ended_by
FROM customerships WHERE customer = ANY ($1::uuid[]) ORDER BY canonical"""

_ALIASES = "SELECT id, alias_of AS customer FROM customers WHERE alias_of = ANY ($1::uuid[]) ORDER BY id"

_LINKS = """
SELECT one AS customer, other FROM links WHERE one = ANY ($1::uuid[]) AND binds
UNION ALL SELECT other, one FROM links WHERE other = ANY ($1::uuid[]) AND binds"""


async def load(
    conn: Conn, keys: Keys, ids: Iterable[UUID], *, lock: bool = False
) -> dict[UUID, StoredCustomer]:
    """Customers with all that is stated of them, no aliases; with `lock` their rows are locked, in the order of ids.
    The statements are the same ones for nobody as for many.
    """
    wanted = list(set(ids))
    rows = await conn.fetch(_CUSTOMERS_LOCKED if lock else _CUSTOMERS, wanted)
    parts = [
        _grouped(await conn.fetch(query, wanted))
        for query in (_STATEMENTS, _POINTS, _IDENTIFIERS, _CUSTOMERSHIPS, _ALIASES, _LINKS)
    ]
    data_keys = {r["id"]: keys.data_key(r["id"], r["data_key"]) for r in rows}

    def stored(row: asyncpg.Record) -> StoredCustomer:
        ident, key = row["id"], data_keys[row["id"]]
        customer = _customer(ident, key, *(part[ident] for part in parts))
        return StoredCustomer(customer, orjson.loads(row["revisions"]), key)

    return {r["id"]: stored(r) for r in rows}


_Rows = list[asyncpg.Record]


def _grouped(rows: _Rows) -> defaultdict[UUID, _Rows]:
    groups: defaultdict[UUID, _Rows] = defaultdict(list)
    for row in rows:
        groups[row["customer"]].append(row)
    return groups


def _customer(
    ident: UUID,
    key: DataKey,
    statements: _Rows,
    points: _Rows,
    identifiers: _Rows,
    customerships: _Rows,
    aliases: _Rows,
    links: _Rows,
) -> RegisteredCustomer:
    current = {(r["source"], r["kind"]): r for r in identifiers if r["is_current"]}
    codes = {r["blind"] for r in identifiers if r["kind"] == IDENTITY}
    facts = {row["source"]: _facts(ident, key, row, current) for row in statements}
    return RegisteredCustomer(
        id=ident,
        facts=facts,
        points=tuple(_point(p, key) for p in points),
        customerships=tuple(
            Customership(c["company"], c["number"], c["canonical"], c["since"], c["ended"], c["ended_by"])
            for c in customerships
        ),
        aliases=tuple(row["id"] for row in aliases),
        former=frozenset(codes - {f.identity for f in facts.values()}),
        links=frozenset(row["other"] for row in links),
    )


def _facts(
    ident: UUID, key: DataKey, row: asyncpg.Record, current: dict[tuple[str, str], asyncpg.Record]
) -> Facts:
    source = row["source"]
    code, business = current.get((source, IDENTITY)), current.get((source, BUSINESS))
    return replace(
        decrypt_profile(key, ident, source, row["profile"]),
        recipient=Recipient(row["recipient"]) if row["recipient"] else None,
        identity=code["blind"] if code else None,
        business_id=key.decrypt(business["value"], context(BUSINESS, ident)) if business else None,
        minor=row["minor"],
        deceased=row["deceased"],
        safety_ban=row["safety_ban"],
        organisation=row["organisation"],
        person=row["person"],
        at=orjson.loads(row["stated_at"]),
    )


_CLAIMS = TypeAdapter(dict[str, PointStatement])


def _point(row: asyncpg.Record, key: DataKey) -> Point:
    return Point(
        id=row["id"],
        kind=PointKind(row["kind"]),
        value=key.decrypt(row["value"], context("point", row["id"])),
        statements=_CLAIMS.validate_json(row["claims"]),
    )
