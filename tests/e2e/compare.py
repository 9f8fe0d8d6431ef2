"""Compares every store with the primary, record by record."""

import json
from dataclasses import dataclass
from typing import Any

import asyncpg

RECORDS = """
    SELECT key, epoch, n, status, body FROM records WHERE family = $1 ORDER BY key
"""
BACKLOG = "SELECT count(*) FROM marks"


@dataclass(frozen=True, slots=True)
class HeldPermission:
    """One record, from whichever side: version, status, and what is allowed as a sorted canonical text."""

    version: tuple[int, int]
    status: str
    allows: str


def allows(points: list[dict[str, Any]]) -> str:
    cells = [
        (
            p["point"],
            p["channel"],
            a["purpose"],
            a.get("partner"),
            a.get("mode"),
            tuple(a.get("product_groups") or ()),
        )
        for p in points
        for a in p["allow"]
    ]
    return json.dumps(sorted(cells, key=str))


async def primary(connection: asyncpg.Connection, family: str) -> dict[str, HeldPermission]:
    held = {}
    for row in await connection.fetch(RECORDS, family):
        body = json.loads(row["body"]) if isinstance(row["body"], str) else row["body"]
        held[row["key"]] = HeldPermission(
            (row["epoch"], row["n"]), row["status"], allows(body.get("points", []))
        )
    return held


def differences(name: str, ours: dict[str, HeldPermission], theirs: dict[str, HeldPermission]) -> list[str]:
    """One line per record that is missing, superfluous or different; keys are pairwise ids, nothing personal."""
    lines = [f"{name}: lacks {k}" for k in ours.keys() - theirs.keys()]
    lines += [f"{name}: has {k}, which the primary never gave" for k in theirs.keys() - ours.keys()]
    for key in ours.keys() & theirs.keys():
        if ours[key] != theirs[key]:
            lines.append(f"{name}: {key}: primary {ours[key]}, store {theirs[key]}")
    return sorted(lines)
