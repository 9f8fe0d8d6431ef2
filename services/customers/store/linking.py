"""Finding who may be the same person as somebody, and keeping what was found."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from kielto.service.database.pool import Conn
from services.customers.model.linking import MOST_HOLDERS, Candidate, Contradiction, Link, pairs

Pair = tuple[UUID, UUID]

Held = tuple[bytes, str | None]
"""A contact point by its blind index, and who states it (`Point.source`); of an identifier, None."""


class Near(NamedTuple):
    """`holders` of each; `crowded` are those of more than may be linked, who are not listed."""

    holders: Mapping[Held, frozenset[UUID]]
    crowded: frozenset[Held]


# A conflicting row is locked even where the WHERE says that nothing changes (PostgreSQL: INSERT, ON CONFLICT).
_LOCK_KEYS = """
INSERT INTO link_keys AS k (blind) SELECT unnest($1::bytea[]) ORDER BY 1
ON CONFLICT (blind) DO UPDATE SET blind = k.blind WHERE false"""


async def lock_keys(conn: Conn, blinds: Iterable[bytes]) -> None:
    """Lock these keys until the transaction ends, so that nobody else adds a holder. Call it before any customer is
    locked.
    """
    await conn.execute(_LOCK_KEYS, sorted(set(blinds)))


_DROP_KEYS = """
DELETE FROM link_keys WHERE blind IN (
    SELECT blind FROM link_keys k WHERE blind = ANY ($1::bytea[])
        AND NOT EXISTS (SELECT FROM points WHERE points.blind = k.blind)
        AND NOT EXISTS (SELECT FROM identifiers i WHERE i.blind = k.blind)
    FOR UPDATE SKIP LOCKED)"""


async def drop_keys(conn: Conn, blinds: Iterable[bytes]) -> None:
    """Delete the keys that nobody holds any more and no open transaction is adding."""
    await conn.execute(_DROP_KEYS, sorted(set(blinds)))


_HOLDERS = """
WITH wanted AS MATERIALIZED (
    SELECT unnest($1::bytea[]) AS blind
    UNION SELECT blind FROM points WHERE customer = ANY ($2::uuid[]) AND kind <> 'post'
    UNION SELECT blind FROM identifiers WHERE customer = ANY ($2::uuid[])
)
SELECT w.blind, s.source, h.customer FROM wanted w
CROSS JOIN LATERAL (
    WITH RECURSIVE each (source) AS (
        SELECT min(source) FROM points p WHERE p.blind = w.blind
        UNION ALL
        SELECT (SELECT min(source) FROM points p WHERE p.blind = w.blind AND p.source > each.source)
        FROM each WHERE each.source IS NOT NULL
    )
    SELECT source FROM each WHERE source IS NOT NULL
) AS s
CROSS JOIN LATERAL (
    SELECT customer FROM points p WHERE p.blind = w.blind AND p.source = s.source LIMIT $3
) AS h
UNION SELECT w.blind, NULL, i.customer FROM wanted w JOIN identifiers i USING (blind)"""


async def near(conn: Conn, blinds: Iterable[bytes], customers: Iterable[UUID]) -> Near:
    """The holders of these contact points and identifiers, and of those of these customers."""
    rows = await conn.fetch(_HOLDERS, list(set(blinds)), list(set(customers)), MOST_HOLDERS + 1)
    found = defaultdict[Held, set[UUID]](set)
    for row in rows:
        found[row["blind"], row["source"]].add(row["customer"])
    crowded = frozenset(
        held for held, customers in found.items() if held[1] is not None and len(customers) > MOST_HOLDERS
    )
    return Near({held: frozenset(c) for held, c in found.items() if held not in crowded}, crowded)


_LINKED = """
SELECT one, other, binds FROM links WHERE one = ANY ($1::uuid[])
UNION SELECT one, other, binds FROM links WHERE other = ANY ($1::uuid[])"""


async def linked(conn: Conn, ids: Iterable[UUID]) -> dict[Pair, bool]:
    """The pairs that contain one of these customers, and whether each binds."""
    rows = await conn.fetch(_LINKED, list(set(ids)))
    return {(r["one"], r["other"]): r["binds"] for r in rows}


_APART = """
SELECT one, other FROM apart WHERE one = ANY ($1::uuid[])
UNION SELECT one, other FROM apart WHERE other = ANY ($1::uuid[])"""


async def apart(conn: Conn, ids: Iterable[UUID]) -> set[Pair]:
    return {(r["one"], r["other"]) for r in await conn.fetch(_APART, list(set(ids)))}


_PUT = """
INSERT INTO links AS l (one, other, reason, binds)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::boolean[])
ON CONFLICT (one, other) DO UPDATE SET reason = excluded.reason, binds = excluded.binds
WHERE (l.reason, l.binds) <> (excluded.reason, excluded.binds)"""

_DROP = """
DELETE FROM links l USING unnest($1::uuid[], $2::uuid[]) AS n (one, other)
WHERE l.one = n.one AND l.other = n.other"""


async def keep(conn: Conn, put: Mapping[Pair, Link], drop: Iterable[Pair]) -> None:
    gone = sorted(drop)
    await conn.execute(_DROP, [one for one, _ in gone], [other for _, other in gone])
    rows = sorted((one, other, link.reason, link.binds) for (one, other), link in put.items())
    await conn.execute(_PUT, *([row[i] for row in rows] for i in range(4)))


_MOVED = "DELETE FROM links WHERE one = $1 OR other = $1 RETURNING one, other, reason, binds"


async def move(conn: Conn, gone: UUID, into: UUID) -> None:
    """Move the links of a merged customer to the survivor."""
    rows = await conn.fetch(_MOVED, gone)
    put: dict[Pair, Link] = {}
    for row in sorted(rows, key=lambda r: r["binds"]):
        other = row["one"] if row["other"] == gone else row["other"]
        if other != into:
            put[(min(other, into), max(other, into))] = Link(row["reason"], row["binds"])
    await keep(conn, put, ())


_FORGET = """
DELETE FROM links l WHERE (one = ANY ($1::uuid[]) OR other = ANY ($1::uuid[]))
    AND NOT EXISTS (SELECT FROM customers c WHERE c.id IN (l.one, l.other))"""


async def forget(conn: Conn, erased: Iterable[UUID]) -> None:
    """Delete the links of which neither side is left. A link to somebody who lives on stays: the erased person's no
    still binds.
    """
    await conn.execute(_FORGET, list(erased))


_PUT_APART = """
INSERT INTO apart (one, other, reason, decided_by) VALUES ($1, $2, $3, $4) ON CONFLICT (one, other) DO NOTHING"""


async def put_apart(conn: Conn, one: UUID, other: UUID, reason: str, by: str) -> None:
    ((low, high),) = pairs([(one, other)])
    await conn.execute(_PUT_APART, low, high, reason, by)


_PUT_CONTRADICTIONS = """
INSERT INTO contradictions (customer, source, number, fields)
SELECT customer, source, number, string_to_array(fields, ',')
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS n (customer, source, number, fields)
ON CONFLICT (customer, source, number) DO UPDATE SET fields = excluded.fields, at = now()"""


async def contradicted(conn: Conn, found: Sequence[tuple[UUID, str, str | None, tuple[str, ...]]]) -> None:
    rows = {row[:3]: (*row[:3], ",".join(row[3])) for row in found}
    await conn.execute(_PUT_CONTRADICTIONS, *([row[i] for row in rows.values()] for i in range(4)))


_CANDIDATES = """
SELECT one, other, reason, binds
FROM links WHERE (one, other) > ($1, $2)
    AND NOT EXISTS (SELECT FROM apart a WHERE a.one = links.one AND a.other = links.other)
    AND EXISTS (SELECT FROM customers c WHERE c.id = links.one AND c.alias_of IS NULL)
    AND EXISTS (SELECT FROM customers c WHERE c.id = links.other AND c.alias_of IS NULL)
ORDER BY one, other LIMIT $3"""


async def candidates(conn: Conn, after: Pair, limit: int) -> list[Candidate]:
    return [Candidate(*row) for row in await conn.fetch(_CANDIDATES, *after, limit)]


_CONTRADICTIONS = """
SELECT id, customer, source, number, fields FROM contradictions WHERE id > $1 ORDER BY id LIMIT $2"""


async def contradictions(conn: Conn, after: UUID, limit: int) -> list[Contradiction]:
    rows = await conn.fetch(_CONTRADICTIONS, after, limit)
    return [Contradiction(r["id"], r["customer"], r["source"], r["number"], tuple(r["fields"])) for r in rows]
