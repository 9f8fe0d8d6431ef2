"""The whole log, page by page, for verification. Run it in one transaction of one snapshot."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from kielto.merkle import Node
from kielto.service.database.pool import Conn

_PAGE = 5000
_SECONDS = 1800.0
"""Time limit of statements that read the whole log."""


class Signed(NamedTuple):
    batch: int
    size: int
    head: str


async def leaves(conn: Conn) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
    """`index`, `of` (the decision's id), `leaf` (its commitment), with the decision's row, salt and erasure."""
    after = -1
    while rows := await conn.fetch(_LEAVES, after, _PAGE):
        yield [dict(row) for row in rows]
        after = rows[-1]["index"]


async def heads(conn: Conn) -> AsyncIterator[Signed]:
    after = -1
    while rows := await conn.fetch(_HEADS, after, _PAGE):
        for row in rows:
            yield Signed(*row)
        after = rows[-1]["batch"]


async def count(conn: Conn) -> int:
    return int(await conn.fetchval("SELECT count(*) FROM leaves", timeout=_SECONDS))


async def nodes(conn: Conn, wanted: Sequence[Node]) -> dict[Node, bytes]:
    rows = await conn.fetch(_NODES, [node.height for node in wanted], [node.place for node in wanted])
    return {Node(row["height"], row["index"]): row["hash"] for row in rows}


async def count_nodes(conn: Conn) -> int:
    return int(await conn.fetchval("SELECT count(*) FROM tree_nodes", timeout=_SECONDS))


async def waiting(conn: Conn) -> list[Mapping[str, Any]]:
    """Decisions that are not signed yet, with the columns of `leaves`; `sealed`: it is in the log already."""
    return [dict(row) for row in await conn.fetch(_WAITING, timeout=_SECONDS)]


async def outside(conn: Conn) -> list[UUID]:
    """Decisions that are neither in the log nor waiting."""
    return [row["id"] for row in await conn.fetch(_OUTSIDE, timeout=_SECONDS)]


_OF = """
s.salt, e.erased_at, e.why, e.signed, d.* FROM {0} l
LEFT JOIN salts s ON s.decision = l.decision LEFT JOIN erasures e ON e.decision = l.decision
LEFT JOIN decisions d ON d.id = l.decision"""

_LEAVES = f"""
SELECT l.index, l.decision AS of, l.commitment AS leaf, {_OF.format("leaves")}
WHERE l.index > $1 ORDER BY l.index LIMIT $2"""

_WAITING = f"""
SELECT l.decision AS of, l.commitment AS leaf,
    EXISTS (SELECT FROM leaves x WHERE x.decision = l.decision) AS sealed, {_OF.format("unsealed")} ORDER BY l.id"""  # noqa: S608 - constants of ours

_HEADS = "SELECT batch, size, head FROM seals WHERE batch > $1 ORDER BY batch LIMIT $2"

_NODES = """
SELECT n.height, n.index, n.hash
FROM unnest($1::integer[], $2::bigint[]) AS w (height, index) JOIN tree_nodes n USING (height, index)"""

_OUTSIDE = """
SELECT id FROM decisions d
WHERE NOT EXISTS (SELECT FROM leaves l WHERE l.decision = d.id)
    AND NOT EXISTS (SELECT FROM unsealed u WHERE u.decision = d.id)
ORDER BY received_at, id"""
