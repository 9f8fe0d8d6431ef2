"""Statements about many customers compare no row of theirs with each other row: by key, joins are nested loops."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import asyncpg
import pytest

from kielto.service.database import epoch, pool
from kielto.service.outbox import publish as outbox
from kielto.service.outbox.publish import RecordChange
from services.consents import projections
from services.consents.store.permissions import customers, state
from tests.integration.consents.world import ConsentsWorld, Someone

MANY = 40


class ExplainedPlan:
    """In place of a connection: runs each statement, and says how many pairs of rows its joins threw away."""

    def __init__(self, conn: Any) -> None:
        self._conn, self.thrown_away = conn, 0

    async def fetch(self, statement: str, *args: Any) -> list[Any]:
        plan = json.loads(await self._conn.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *args))
        self.thrown_away += sum(_thrown_away(plan[0]["Plan"]))
        return []

    async def fetchrow(self, statement: str, *args: Any) -> None:
        await self.fetch(statement, *args)


def _thrown_away(node: dict[str, Any]) -> Iterator[int]:
    yield round(node.get("Rows Removed by Join Filter", 0) * node["Actual Loops"])
    for part in node.get("Plans", ()):
        yield from _thrown_away(part)


async def load(conn: Any, world: ConsentsWorld, people: list[Someone]) -> None:
    with suppress(AssertionError):
        await state.load(conn, [p.id for p in people])


async def put(conn: Any, world: ConsentsWorld, people: list[Someone]) -> None:
    await customers.put(conn, projections.newest([world.record(p) for p in people], world.keys))


async def publish(conn: Any, world: ConsentsWorld, people: list[Someone]) -> None:
    records = [world.record(p) for p in people]
    with suppress(epoch.EpochNotOpenError):
        await outbox.publish(
            conn, [RecordChange("consents", str(r.subject), r, express=False) for r in records]
        )


@pytest.mark.parametrize("work", [load, put, publish])
async def test_no_join_of_a_batch_with_itself(world: ConsentsWorld, dsn: str, work: Any) -> None:
    people = [Someone() for _ in range(MANY)]
    await world.know(*people)
    conn = await asyncpg.connect(dsn, server_settings=pool.BY_KEY)
    try:
        explained = ExplainedPlan(conn)
        await work(explained, world, people)
    finally:
        await conn.close()
    assert explained.thrown_away < MANY
