"""Giving the survivor of a merge what the duplicate had, and leaving of the duplicate an alias."""

import orjson

from kielto.service.database.pool import Conn
from services.customers.model.customer import StoredCustomer
from services.customers.store import unreadable
from services.customers.store.encryption import context

_DELETE_STATEMENTS = "DELETE FROM statements WHERE customer = $1"

_MOVE_CUSTOMERSHIPS = "UPDATE customerships SET customer = $1 WHERE customer = $2"

_DELETE_POINTS = "DELETE FROM points WHERE customer = $1"

_MOVE_ALIASES = "UPDATE customers SET alias_of = $1 WHERE alias_of = $2"

_ALIAS = """
UPDATE customers
SET alias_of = $1, companies = $3, data_key = NULL, revisions = $4, changed_at = now()
WHERE id = $2"""


async def move(conn: Conn, duplicate: StoredCustomer, survivor: StoredCustomer) -> None:
    """Give the survivor all rows of the duplicate but its contact points: `writing` encrypts those under the survivor's
    key. Delete them here, and the duplicate's data key.
    """
    into, gone = survivor.customer.id, duplicate.customer
    await _identifiers(conn, duplicate, survivor)
    await unreadable.move(conn, gone.id, duplicate.key, into, survivor.key)
    await conn.execute(_MOVE_CUSTOMERSHIPS, into, gone.id)
    await conn.execute(_DELETE_POINTS, gone.id)
    await conn.execute(_DELETE_STATEMENTS, gone.id)
    await conn.execute(_MOVE_ALIASES, into, gone.id)
    revisions = {source: n + 1 for source, n in duplicate.revisions.items()}
    await conn.execute(_ALIAS, into, gone.id, list(gone.companies), orjson.dumps(revisions).decode())


_IDENTIFIERS = "SELECT blind, source, kind, value FROM identifiers WHERE customer = $1"

_CURRENT = "SELECT source, kind FROM identifiers WHERE customer = $1 AND is_current"

_MOVE_IDENTIFIERS = """
UPDATE identifiers i SET customer = $1, value = n.value, is_current = i.is_current AND n.stays_current
FROM unnest($2::bytea[], $3::text[], $4::bytea[], $5::boolean[]) AS n (blind, source, value, stays_current)
WHERE i.blind = n.blind AND i.source = n.source"""


async def _identifiers(conn: Conn, duplicate: StoredCustomer, survivor: StoredCustomer) -> None:
    """Former ones too, so that the person is still found by them; bound to their new place."""
    rows = await conn.fetch(_IDENTIFIERS, duplicate.customer.id)
    held = {(r["source"], r["kind"]) for r in await conn.fetch(_CURRENT, survivor.customer.id)}

    def encrypted(kind: str, value: bytes) -> bytes:
        text = duplicate.key.decrypt(value, context(kind, duplicate.customer.id))
        return survivor.key.encrypt(text, context(kind, survivor.customer.id))

    if moved := [
        (r["blind"], r["source"], encrypted(r["kind"], r["value"]), (r["source"], r["kind"]) not in held)
        for r in rows
    ]:
        await conn.execute(_MOVE_IDENTIFIERS, survivor.customer.id, *map(list, zip(*moved, strict=True)))
