"""Connections of the pool, as they are given back."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import httpx
import pytest

from kielto.service.database import pool as postgres
from kielto.service.database.pool import Pool, open_pool, transaction, whose_request
from kielto.service.http.auth import Verifier
from kielto.service.process.application import Health, create_app
from kielto.service.support.limits import FIXED, Limits
from kielto.service.support.shares import BusyError, CrowdedError
from tests.integration.service.support import Bench


async def test_a_connection_is_given_back_without_a_query_and_without_an_open_transaction(
    service: Bench,
) -> None:
    """asyncpg's reset query costs a round trip; a transaction left open is rolled back all the same."""
    said: list[str] = []
    async with service.pool.acquire() as conn:
        pid = await conn.fetchval("SELECT pg_backend_pid()")
        conn.add_query_logger(lambda record: said.append(record.query))
    assert said == []
    async with service.pool.acquire() as conn:
        assert await conn.fetchval("SELECT pg_backend_pid()") == pid
        await conn.transaction().start()
        await conn.execute("CREATE TABLE left_open ()")
    async with service.pool.acquire() as conn:
        assert await conn.fetchval("SELECT to_regclass('left_open') IS NULL")
        assert not conn.is_in_transaction()


@pytest.fixture
async def narrow(service: Bench) -> AsyncIterator[Pool]:
    limits = Limits(party_requests=2, party_waiting=1, pool_connections=3, wait_seconds=0.3)
    pool = await open_pool(service.dsn, name="test", limits=limits)
    yield pool
    pool.terminate()


async def asked_by(whose: str | None, pool: Pool, seconds: float = 0.0) -> None:
    whose_request.set(whose)
    async with pool.acquire() as conn:
        await conn.execute("SELECT pg_sleep($1)", seconds)


async def test_a_party_has_its_share_of_the_pool(narrow: Pool) -> None:
    kauppa = [asyncio.create_task(asked_by("kauppa", narrow, 1.0)) for _ in range(2)]
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(asked_by("kauppa", narrow))
    await asyncio.sleep(0)
    with pytest.raises(CrowdedError):
        await asyncio.create_task(asked_by("kauppa", narrow))
    async with asyncio.timeout(0.2):
        await asyncio.create_task(asked_by("sahko", narrow))
    with pytest.raises(BusyError):
        await waiting
    await asyncio.gather(*kauppa)
    async with asyncio.timeout(0.2):
        await asyncio.create_task(asked_by("kauppa", narrow))


async def test_a_request_waits_for_a_connection_for_a_bounded_time_and_work_of_our_own_as_long_as_it_takes(
    narrow: Pool,
) -> None:
    parties = [asyncio.create_task(asked_by(p, narrow, 1.0)) for p in ("a", "b", "c")]
    await asyncio.sleep(0.1)
    ours = asyncio.create_task(asked_by(None, narrow))
    with pytest.raises(BusyError):
        await asyncio.create_task(asked_by("d", narrow))
    await asyncio.gather(*parties, ours)


async def test_a_lock_is_waited_for_for_a_bounded_time(
    service: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(postgres._SESSION, "lock_timeout", "200")
    pool = await open_pool(service.dsn, name="test")
    async with pool.acquire() as holder, holder.transaction():
        await holder.execute("LOCK TABLE idempotency")
        with pytest.raises(postgres.AWAY):
            async with transaction(pool) as other:
                await other.execute("LOCK TABLE idempotency")
    pool.terminate()


async def test_a_statement_has_a_bounded_time(service: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "FIXED", FIXED.model_copy(update={"statement_seconds": 0.2}))
    pool = await open_pool(service.dsn, name="test")
    with pytest.raises(postgres.AWAY):
        await pool.execute("SELECT pg_sleep(5)")
    assert await pool.fetchval("SELECT 1", timeout=5) == 1
    pool.terminate()


async def test_readiness_waits_for_no_queue_and_not_for_ever(service: Bench, narrow: Pool) -> None:
    ready = await open_pool(service.dsn, name="test", size=1)
    limits = Limits(ready_seconds=0.3)
    health, verifier = Health(claimed=True), cast(Verifier, None)
    app = create_app("t", [], pool=narrow, verifier=verifier, health=health, limits=limits, ready=ready)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as client:
        busy = [asyncio.create_task(asked_by(None, narrow, 0.5)) for _ in range(3)]
        await asyncio.sleep(0.1)
        assert (await client.get("/readyz")).status_code == 200
        await asyncio.gather(*busy)
        async with ready.acquire():
            away = await client.get("/readyz")
        assert (away.status_code, away.json()["type"]) == (503, "urn:kielto:problem:database-unavailable")
    ready.terminate()
