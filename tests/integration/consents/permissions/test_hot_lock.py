"""One person whose row is locked holds up nobody else: neither another person's ban, nor another party, nor /readyz."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import httpx
import pytest

from kielto.service.database.pool import Pool, open_pool
from kielto.service.process.application import Health, create_app
from kielto.service.support.limits import Limits
from services.consents.api.decisions import decisions
from services.consents.use_cases.context import Context
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.tokens import PlainTokens, as_

LIMITS = Limits(wait_seconds=1.5)


@pytest.fixture
async def small(world: ConsentsWorld, dsn: str) -> AsyncIterator[Pool]:
    """As a process has it."""
    pool = await open_pool(dsn, name="test", limits=LIMITS)
    yield pool
    pool.terminate()


@pytest.fixture
async def http(small: Pool, context: Context) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        "consents",
        [decisions.router(replace(context, pool=small))],
        pool=small,
        verifier=PlainTokens(),
        health=Health(claimed=True),
        limits=LIMITS,
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=as_("desk")) as client:
        yield client


async def test_one_locked_person_holds_up_nobody_else(
    world: ConsentsWorld, dsn: str, http: httpx.AsyncClient
) -> None:
    locked, free, sisters = Someone(), Someone(), Someone(("sahko",))
    await world.know(locked, free, sisters)

    async def ban(who: Someone, headers: dict[str, str] | None = None) -> tuple[int, float]:
        began = time.monotonic()
        body = {"subject": {"customer": str(who.id)}, "act": "ban"}
        answer = await http.post("/consents/decisions", json=body, headers=headers)
        if answer.status_code == 503:
            assert answer.json()["type"] == "urn:kielto:problem:busy"
            assert int(answer.headers["retry-after"]) >= 1
        return answer.status_code, time.monotonic() - began

    assert (await ban(free))[0] == 201, "the subject of the lock is there"
    assert (await ban(locked))[0] == 201
    holder = await asyncpg.connect(dsn)
    async with holder.transaction():
        held = await holder.fetch("SELECT ref FROM subjects WHERE ref = $1 FOR UPDATE", f"c:{locked.id}")
        assert held
        waiting = [asyncio.create_task(ban(locked)) for _ in range(45)]
        await asyncio.sleep(0.3)
        for who, headers in ((free, None), (sisters, None), (sisters, as_("desk@sahko"))):
            body = await asyncio.wait_for(ban(who, headers), 1.0)
            assert body[0] in (201, 422), "answered, whatever it is"
        assert (await asyncio.wait_for(http.get("/readyz"), 1.0)).status_code == 200
        refused = await asyncio.gather(*waiting[2:])
        assert {status for status, _ in refused} == {503}
        assert max(took for _, took in refused) < 4.0
    assert [status for status, _ in await asyncio.gather(*waiting[:2])] == [201, 201], "those who had a turn"
    await holder.close()
    assert (await ban(locked))[0] == 201
