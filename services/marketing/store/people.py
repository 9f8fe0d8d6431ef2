"""What marketing keeps of people: one row each, with two records under two versions; also their lock."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from kielto.events.versions import Version
from kielto.service.database.pool import Conn


class KeptCustomer(NamedTuple):
    """A customer's record at a version. `points` is JSON: id of the point -> encrypted digest, or null; `holders`: id
    of a point -> the companies that have it, where not all have.
    """

    id: UUID
    version: Version
    status: str
    points: str
    holders: str = "{}"


class KeptPermissions(NamedTuple):
    """A customer's permissions at a version. `companies` maps a company to its points as JSON."""

    id: UUID
    version: Version
    status: str
    companies: Mapping[str, str]


# Rows are inserted, and so locked, in ascending order of id, as everywhere in this service.
# The same version counts again only where it could not be read before.
_PUT_CUSTOMERS = """
INSERT INTO people AS p (id, customer_epoch, customer_n, customer_status, points, holders)
SELECT id, epoch, n, status, points::jsonb, holders::jsonb
FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::text[])
     AS new (id, epoch, n, status, points, holders)
ORDER BY id
ON CONFLICT (id) DO UPDATE
SET customer_epoch = excluded.customer_epoch, customer_n = excluded.customer_n,
    customer_status = excluded.customer_status, points = excluded.points,
    holders = excluded.holders
WHERE (p.customer_epoch, p.customer_n) < (excluded.customer_epoch, excluded.customer_n)
   OR (p.customer_epoch, p.customer_n) = (excluded.customer_epoch, excluded.customer_n)
      AND p.customer_status = 'unreadable' AND excluded.customer_status <> 'unreadable'
RETURNING id"""


async def put_customers(conn: Conn, rows: Sequence[KeptCustomer]) -> list[UUID]:
    """Keep those that are newer than what is held; returns whose. At most one row a person."""
    if not rows:
        return []
    values = [(r.id, *r.version, r.status, r.points, r.holders) for r in rows]
    taken = await conn.fetch(_PUT_CUSTOMERS, *map(list, zip(*values, strict=True)))
    return [row["id"] for row in taken]


_PUT_PERMISSIONS = """
INSERT INTO people AS p (id, permission_epoch, permission_n, permission_status)
SELECT id, epoch, n, status
FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::text[]) AS new (id, epoch, n, status)
ORDER BY id
ON CONFLICT (id) DO UPDATE
SET permission_epoch = excluded.permission_epoch, permission_n = excluded.permission_n,
    permission_status = excluded.permission_status
WHERE (p.permission_epoch, p.permission_n) < (excluded.permission_epoch, excluded.permission_n)
   OR (p.permission_epoch, p.permission_n) = (excluded.permission_epoch, excluded.permission_n)
      AND p.permission_status = 'unreadable' AND excluded.permission_status <> 'unreadable'
RETURNING id"""

_DROP_PERMISSIONS = """
DELETE FROM permissions p
WHERE p.customer = ANY($1::uuid[])
  AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::uuid[]) AS new (company, customer)
                  WHERE new.company = p.company AND new.customer = p.customer)"""

_FILL_PERMISSIONS = """
INSERT INTO permissions AS p (company, customer, points)
SELECT company, customer, points::jsonb
FROM unnest($1::text[], $2::uuid[], $3::text[]) AS new (company, customer, points)
ON CONFLICT (company, customer) DO UPDATE SET points = excluded.points WHERE p.points <> excluded.points"""


async def put_permissions(conn: Conn, rows: Sequence[KeptPermissions]) -> list[UUID]:
    """Keep those that are newer than what is held; returns whose. At most one row a person."""
    if not rows:
        return []
    values = [(r.id, *r.version, r.status) for r in rows]
    taken = await conn.fetch(_PUT_PERMISSIONS, *map(list, zip(*values, strict=True)))
    changed = {row["id"] for row in taken}
    cells = [(c, r.id, points) for r in rows if r.id in changed for c, points in r.companies.items()]
    companies, customers, points = ([c[i] for c in cells] for i in range(3))
    await conn.execute(_DROP_PERMISSIONS, list(changed), companies, customers)
    if cells:
        await conn.execute(_FILL_PERMISSIONS, companies, customers, points)
    return list(changed)


_SOME_UNKNOWN = """
SELECT EXISTS (SELECT FROM people WHERE customer_status = 'live' AND permission_status = 'unknown')"""


async def some_unknown(conn: Conn) -> bool:
    """Whether anybody is known of whom no permissions were ever published."""
    return bool(await conn.fetchval(_SOME_UNKNOWN))


_HOLD = "SELECT FROM people WHERE id = ANY($1::uuid[]) ORDER BY id FOR SHARE"


async def hold(conn: Conn, ids: Sequence[UUID]) -> None:
    """Keep these people's records as they are until the transaction ends.

    A statement that begins after this one sees every change that was under way before: first hold, then read.
    """
    await conn.execute(_HOLD, ids)
