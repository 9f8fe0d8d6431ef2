"""Restrictions of which only the record that listed them is left."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from kielto.events.words import Channel, Mode, Purpose
from kielto.service.database.pool import Conn, columns
from services.consents.model.ruling import Cell, Groups


class Listed(NamedTuple):
    """A restriction that a customer's record listed, and the record's `companies` as JSON."""

    decision: UUID
    customer: UUID
    allowed: str


_LACKING = """
SELECT at, d.id IS NULL AS unknown
FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS l (decision, customer, at)
LEFT JOIN decisions d ON d.id = l.decision
WHERE d.id IS NULL OR (d.ref = 'r:' || d.id AND NOT EXISTS (
    SELECT FROM restored r WHERE r.decision = l.decision AND r.customer = l.customer))
ORDER BY at"""

_ADD = """
INSERT INTO restored (decision, customer, allowed)
SELECT decision, customer, allowed::json
FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS r (decision, customer, allowed)"""

_RAISE = "UPDATE decision_records SET epoch = $1 WHERE epoch < $1"


async def lacking(conn: Conn, listed: Sequence[Listed]) -> list[tuple[Listed, bool]]:
    """The restrictions that are not stored for the customer, each with whether the decision is unknown altogether."""
    rows = await conn.fetch(_LACKING, *columns(listed, "decision", "customer"))
    return [(listed[row["at"] - 1], row["unknown"]) for row in rows]


async def add(conn: Conn, rows: Sequence[Listed]) -> None:
    await conn.execute(_ADD, *map(list, zip(*rows, strict=True)))


async def ask_proof_anew(conn: Conn, epoch: int) -> None:
    """Let acknowledgements of this epoch alone prove anything: stores may hold records whose decisions were lost."""
    await conn.execute(_RAISE, epoch, timeout=3600)


def spared(allowed: Any) -> dict[Cell, Groups]:
    """What a record's `companies` allow. What this version does not know is not allowed."""
    companies = json.loads(allowed) if isinstance(allowed, str) else allowed
    return {
        cell: groups
        for company in companies
        for point in company["points"]
        for cell, groups in _cells(company["company"], point)
    }


def _cells(company: str, point: dict[str, Any]) -> Iterator[tuple[Cell, Groups]]:
    for allow in point["allow"]:
        mode, groups = allow.get("mode"), allow.get("product_groups")
        try:
            cell = Cell(
                company,
                UUID(point["point"]),
                Channel(point["channel"]),
                Purpose(allow["purpose"]),
                allow.get("partner"),
                Mode(mode) if mode else None,
            )
        except ValueError:
            continue
        yield cell, None if groups is None else frozenset(groups)
