"""Whole persons: a customer with those merged into it, its contact persons, and who is linked to it. Lock and erase."""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID

import asyncpg

from kielto.service.database.pool import Conn
from services.customers.model.problems import HasContactPersonsError
from services.customers.store.writing import ConcurrentChangeError


class LockedCustomer(NamedTuple):
    """`organisations`: for whom it is a contact person, by whatever source; `persons`: who that one is."""

    alias_of: UUID | None
    organisations: frozenset[UUID]
    persons: frozenset[UUID]
    companies: tuple[str, ...]


_LOCK = "SELECT FROM customers WHERE id = ANY ($1::uuid[]) ORDER BY id FOR UPDATE"


async def lock(conn: Conn, ids: Iterable[UUID]) -> dict[UUID, LockedCustomer]:
    """The rows of these customers, of everyone merged with them, of their contact persons, of the roles of theirs, and
    of everyone linked to them, locked in the order of ids. Raises ConcurrentChangeError when somebody joined them
    before they were locked: begin again.
    """
    named = list(set(ids))
    found = await _concerned(conn, named)
    await conn.execute(_LOCK, list(found))
    held = await _concerned(conn, named)
    if held.keys() - found.keys():
        raise ConcurrentChangeError
    return held


# Each part by its index: an OR over subqueries reads the whole table.
_CONCERNED = """
WITH survivor AS MATERIALIZED (
    SELECT coalesce(alias_of, id) AS id FROM customers WHERE id = ANY ($1::uuid[])
), person AS MATERIALIZED (
    SELECT id FROM survivor
    UNION
    SELECT id FROM customers WHERE alias_of = ANY (array(SELECT id FROM survivor))
), concerned AS (
    SELECT id FROM person
    UNION
    SELECT customer FROM statements WHERE organisation = ANY (array(SELECT id FROM person))
    UNION
    SELECT customer FROM statements WHERE person = ANY (array(SELECT id FROM person))
    UNION
    SELECT other FROM links WHERE one = ANY (array(SELECT id FROM person))
    UNION
    SELECT one FROM links WHERE other = ANY (array(SELECT id FROM person))
)
SELECT id, alias_of, companies,
    array(SELECT organisation FROM statements s WHERE s.customer = c.id AND organisation IS NOT NULL) AS organisations,
    array(SELECT person FROM statements s WHERE s.customer = c.id AND person IS NOT NULL) AS persons
FROM customers c WHERE id = ANY (array(SELECT id FROM concerned))"""


async def _concerned(conn: Conn, ids: list[UUID]) -> dict[UUID, LockedCustomer]:
    rows = await conn.fetch(_CONCERNED, ids)
    return {
        r["id"]: LockedCustomer(
            r["alias_of"], frozenset(r["organisations"]), frozenset(r["persons"]), tuple(r["companies"] or ())
        )
        for r in rows
    }


_TABLES = ("points", "unreadable_values", "identifiers", "customerships", "statements")

_BLINDS = """
WITH whole AS (SELECT coalesce(alias_of, id) AS id FROM customers WHERE id = $1)
SELECT blind FROM points JOIN whole ON customer = whole.id WHERE kind <> 'post'
UNION SELECT blind FROM identifiers JOIN whole ON customer = whole.id"""


async def blinds(conn: Conn, ident: UUID) -> list[bytes]:
    """The keys under which others are linked to this customer."""
    return [r["blind"] for r in await conn.fetch(_BLINDS, ident)]


_COMPANIES = "SELECT DISTINCT company FROM customerships WHERE customer = $1 ORDER BY 1"

_DELETE_ROWS = "DELETE FROM {} WHERE customer = $1"

_DELETE_CUSTOMERS = "DELETE FROM customers WHERE id = ANY ($1::uuid[])"


async def erase(conn: Conn, ident: UUID) -> dict[UUID, tuple[str, ...]] | None:
    """Delete every row of one customer, last the data key. Returns the companies whose customer it was, by each of the
    customer's ids, those merged away too; None when there is no such customer. Raises HasContactPersonsError,
    ConcurrentChangeError.
    """
    rows = await lock(conn, [ident])
    if ident not in rows:
        return None
    survivor = rows[ident].alias_of or ident
    found = await conn.fetch(_COMPANIES, survivor)
    companies = {i: row.companies for i, row in rows.items() if row.alias_of == survivor}
    companies[survivor] = tuple(row["company"] for row in found)
    for table in _TABLES:
        await conn.execute(_DELETE_ROWS.format(table), survivor)
    try:
        await conn.execute(_DELETE_CUSTOMERS, list(companies))
    except asyncpg.ForeignKeyViolationError:
        raise HasContactPersonsError from None
    return companies
