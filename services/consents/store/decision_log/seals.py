"""The signed log of decisions in the database: decisions that wait, leaves, nodes of the tree, signed heads, keys."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from kielto import merkle
from kielto.merkle import MerklePart, Node
from kielto.service.database.advisory_locks import Lock, try_for
from kielto.service.database.pool import Conn, Pool, columns


class UnsealedDecision(NamedTuple):
    id: int
    decision: UUID
    commitment: bytes


class Sealed(NamedTuple):
    """A decision's row, its salt unless it was erased, and its leaf unless it is not in the log yet."""

    row: Mapping[str, Any]
    salt: bytes | None
    leaf: int | None
    commitment: bytes | None


async def alone(conn: Conn) -> bool:
    """Whether this transaction is the only one that appends; until it ends."""
    return await try_for(conn, Lock.DECISION_LOG, in_transaction=True)


async def waiting(conn: Conn, limit: int) -> list[UnsealedDecision]:
    rows = await conn.fetch("SELECT id, decision, commitment FROM unsealed ORDER BY id LIMIT $1", limit)
    return [UnsealedDecision(*row) for row in rows]


async def count_waiting(conn: "Conn | Pool") -> int:
    return int(await conn.fetchval("SELECT count(*) FROM unsealed"))


async def last_head(conn: "Conn | Pool") -> str | None:
    found: str | None = await conn.fetchval("SELECT head FROM seals ORDER BY batch DESC LIMIT 1")
    return found


async def append(
    conn: Conn,
    first: int,
    entries: Sequence[UnsealedDecision],
    completed: Sequence[tuple[Node, bytes]],
    seal: tuple[int, int, str],
) -> None:
    """Store a batch: leaves from `first` on, nodes, head (batch, size, signed text); its decisions wait no longer."""
    await conn.execute(
        _APPEND,
        [first + n for n in range(len(entries))],
        *columns(entries, "decision", "commitment"),
        [node.height for node, _ in completed],
        [node.place for node, _ in completed],
        [hash_ for _, hash_ in completed],
        *seal,
        [entry.id for entry in entries],
    )


async def hashes(conn: Conn, parts: Sequence[MerklePart]) -> list[bytes]:
    """The hash of each part, from leaves and kept nodes. Raises LookupError when one of them is missing."""
    wanted = [node for part in parts for node in merkle.nodes(part)]
    kept = [_kept(node) for node in wanted]
    rows = await conn.fetch(
        _NODES, [h for h, _, _ in kept], [begin for _, begin, _ in kept], [end for _, _, end in kept]
    )
    found = {
        Node(height, place): merkle.leaf_hash(value) if height == 0 else value
        for height, place, value in rows
    }
    try:
        of = {
            node: merkle.root(found[Node(height, place)] for place in range(begin, end))
            for node, (height, begin, end) in zip(wanted, kept, strict=True)
        }
    except KeyError:
        raise LookupError("table tree_nodes lacks a node of the signed log: run `seals verify`") from None
    return [merkle.fold([of[node] for node in merkle.nodes(part)]) for part in parts]


async def edge(conn: Conn, size: int) -> list[bytes]:
    """The hashes that `merkle.Tree` goes on from. Raises LookupError."""
    whole = merkle.nodes(MerklePart(0, size))
    return await hashes(conn, [MerklePart(n.place << n.height, (n.place + 1) << n.height) for n in whole])


async def sealed(conn: Conn, decision: UUID) -> Sealed | None:
    row = await conn.fetchrow(_SEALED, decision)
    return None if row is None else Sealed(dict(row), row["salt"], row["index"], row["commitment"])


async def note_key(conn: Conn, kid: str, jwk: Mapping[str, Any]) -> None:
    await conn.execute(
        "INSERT INTO seal_keys (kid, jwk) VALUES ($1, $2::json) ON CONFLICT DO NOTHING", kid, json.dumps(jwk)
    )


async def keys(conn: "Conn | Pool") -> list[dict[str, Any]]:
    """Every public key that was ever used, oldest first."""
    rows = await conn.fetch("SELECT jwk FROM seal_keys ORDER BY first_used, kid")
    return [json.loads(row["jwk"]) for row in rows]


async def erase(conn: Conn, decision: UUID, why: str, at: datetime, signed: str) -> bool:
    """Delete the salt of a decision in the log, so that its leaf says nothing any more. False when there is none."""
    return await conn.fetchval(_ERASE, decision, at, why, signed) is not None


def _kept(node: Node) -> tuple[int, int, int]:
    """The kept nodes that a node is computed from: their height, the first one's place, and the last one's plus 1."""
    height = node.height - node.height % merkle.TILE
    span = 1 << (node.height - height)
    return height, node.place * span, (node.place + 1) * span


_APPEND = """
WITH leaf AS (
    INSERT INTO leaves (index, decision, commitment) SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bytea[])
), node AS (
    INSERT INTO tree_nodes (height, index, hash) SELECT * FROM unnest($4::integer[], $5::bigint[], $6::bytea[])
), seal AS (
    INSERT INTO seals (batch, size, head) VALUES ($7, $8, $9)
)
DELETE FROM unsealed WHERE id = ANY ($10::bigint[])"""

_NODES = """
WITH wanted AS (SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS w (height, first, after))
SELECT 0 AS height, l.index, l.commitment FROM wanted w JOIN leaves l
    ON w.height = 0 AND l.index >= w.first AND l.index < w.after
UNION ALL
SELECT n.height, n.index, n.hash FROM wanted w JOIN tree_nodes n
    ON n.height = w.height AND n.index >= w.first AND n.index < w.after"""

_SEALED = """
SELECT d.*, s.salt, l.index, l.commitment
FROM decisions d LEFT JOIN salts s ON s.decision = d.id LEFT JOIN leaves l ON l.decision = d.id
WHERE d.id = $1"""

_ERASE = """
WITH gone AS (
    DELETE FROM salts s USING leaves l WHERE s.decision = $1 AND l.decision = s.decision RETURNING s.decision
)
INSERT INTO erasures (decision, erased_at, why, signed) SELECT decision, $2, $3, $4 FROM gone RETURNING decision"""
