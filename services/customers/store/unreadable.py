"""Contact points of imports that cannot be read: as they were given, encrypted, by customer and company."""

from collections.abc import Iterable
from typing import NamedTuple
from uuid import UUID, uuid4

from kielto.events.words import PointKind
from kielto.service.database.pool import Conn
from kielto.service.support.crypto_keys import DataKey, Keys
from services.customers.model.draft import UnreadablePoint
from services.customers.store.encryption import context

Stated = Iterable[tuple[UUID, tuple[UnreadablePoint, ...]]]
"""By customer the contact points that cannot be read."""


class KeptPoint(NamedTuple):
    kind: PointKind
    source: str
    rule: str
    value: str
    """JSON, as it was given."""


_DATA_KEYS = "SELECT id, data_key FROM customers WHERE id = ANY ($1::uuid[])"

_FORGET = "DELETE FROM unreadable_values WHERE customer = ANY ($1::uuid[]) AND source = $2"

_KEEP = """
INSERT INTO unreadable_values (source, id, customer, kind, rule, value)
SELECT $1, n.* FROM unnest($2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bytea[]) AS n"""


async def keep(conn: Conn, keys: Keys, source: str, stated: Stated) -> None:
    """What `source` says of each customer, instead of what it said before; the last one of several counts."""
    newest = dict(stated)
    await conn.execute(_FORGET, list(newest), source)
    points = [(uuid4(), customer, u) for customer, values in newest.items() for u in values]
    if not points:
        return
    found = await conn.fetch(_DATA_KEYS, list({customer for _, customer, _ in points}))
    opened = {r["id"]: keys.data_key(r["id"], r["data_key"]) for r in found}
    rows = [
        (ident, customer, u.kind.value, u.rule, opened[customer].encrypt(u.value, _place(ident)))
        for ident, customer, u in points
    ]
    await conn.execute(_KEEP, source, *map(list, zip(*rows, strict=True)))


_KEPT = """
SELECT id, source, kind, rule, value FROM unreadable_values
WHERE customer = $1 AND source = coalesce($2, source) ORDER BY source, at, id"""


async def kept(conn: Conn, key: DataKey, customer: UUID, source: str | None = None) -> list[KeptPoint]:
    """The customer's unreadable values that one company stated; None: that any stated."""
    return [
        KeptPoint(PointKind(r["kind"]), r["source"], r["rule"], key.decrypt(r["value"], _place(r["id"])))
        for r in await conn.fetch(_KEPT, customer, source)
    ]


_MOVE = """
UPDATE unreadable_values u SET customer = $1, value = n.value
FROM unnest($2::uuid[], $3::bytea[]) AS n (id, value) WHERE u.id = n.id"""


async def move(conn: Conn, duplicate: UUID, old: DataKey, survivor: UUID, new: DataKey) -> None:
    """Encrypted anew as the survivor's."""
    rows = await conn.fetch(_KEPT, duplicate, None)
    encrypted = [new.encrypt(old.decrypt(r["value"], _place(r["id"])), _place(r["id"])) for r in rows]
    await conn.execute(_MOVE, survivor, [r["id"] for r in rows], encrypted)


def _place(ident: UUID) -> bytes:
    return context("unreadable", ident)
