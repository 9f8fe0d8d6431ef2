"""A launch waits for what was registered just before it, and says so; no launch waits for ever."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from deploy.local.paths import ROOT
from kielto.events.topics import CONSENTS, CUSTOMERS
from kielto.group import load
from kielto.service.database.pool import Pool
from kielto.service.support.crypto_keys import Keys
from services.marketing.model.campaign import Campaign, CampaignState
from services.marketing.store import campaigns, people
from services.marketing.use_cases import catch_up
from services.marketing.use_cases.campaigns import launch
from services.marketing.use_cases.catch_up import Ends, Wait
from services.marketing.use_cases.context import MarketingContext
from services.marketing.use_cases.launch_worker import Launches
from tests.integration.marketing.world import (
    NOW,
    OWN_POST,
    customer,
    draft,
    know,
    permissions,
    person,
    standing,
)

GROUP = load(ROOT / "group.yaml")
Look = Callable[[], Awaitable[tuple[Ends, Ends, bool]]]


@asynccontextmanager
async def launching(pool: Pool, keys: Keys, look: Look, patience: float = 60) -> AsyncIterator[None]:
    work = Launches(MarketingContext(pool, keys, GROUP, lambda: NOW), lambda: True, look, patience)
    task = asyncio.create_task(work.run())
    try:
        yield
        assert not task.done() or task.exception() is None
    finally:
        task.cancel()


async def until(pool: Pool, campaign: Campaign, state: CampaignState, waiting_for: Wait | None) -> Campaign:
    async with asyncio.timeout(20):
        while True:
            async with pool.acquire() as conn:
                found = await campaigns.get(conn, campaign.id)
            assert found is not None
            if (found.state, found.waiting_for) == (state, waiting_for):
                return found
            await asyncio.sleep(0.05)


async def test_everybody_who_was_imported_before_is_addressed(pool: Pool, keys: Keys) -> None:
    first, second = person(), person()
    end = {(CUSTOMERS.bulk, 0): 2, (CONSENTS.bulk, 0): 2}
    taken = dict.fromkeys(end, 1)

    async def look() -> tuple[Ends, Ends, bool]:
        async with pool.acquire() as conn:
            return end, taken, await people.some_unknown(conn)

    await know(pool, customer(keys, first), permissions(first, 1, [OWN_POST]))
    campaign = await draft(pool, OWN_POST)
    await launch(pool, campaign.id, NOW)
    async with launching(pool, keys, look):
        await until(pool, campaign, CampaignState.LAUNCHING, Wait.READING)
        await know(pool, customer(keys, second))
        taken = dict(end)
        await until(pool, campaign, CampaignState.LAUNCHING, Wait.PERMISSIONS)
        await know(pool, permissions(second, 1, [OWN_POST]))
        found = await until(pool, campaign, CampaignState.LAUNCHED, None)
    assert found.candidates == 2
    assert await standing(pool, campaign) == {first.id, second.id}


async def test_what_never_comes_is_not_waited_for_for_ever(pool: Pool, keys: Keys) -> None:
    known, lost = person(), person()
    await know(pool, customer(keys, known), permissions(known, 1, [OWN_POST]), customer(keys, lost))

    async def look() -> tuple[Ends, Ends, bool]:
        return {}, {}, True

    campaign = await draft(pool, OWN_POST)
    await launch(pool, campaign.id, NOW)
    async with launching(pool, keys, look, catch_up.SETTLED_SECONDS):
        await until(pool, campaign, CampaignState.LAUNCHING, Wait.PERMISSIONS)
        await until(pool, campaign, CampaignState.LAUNCHED, None)
    assert await standing(pool, campaign) == {known.id}


async def test_launches_wait_at_the_same_time(pool: Pool, keys: Keys) -> None:
    """One company's ten launches do not make another's wait ten times as long."""
    await know(pool, customer(keys, person()))

    async def look() -> tuple[Ends, Ends, bool]:
        return {}, {}, True

    several = [await draft(pool, OWN_POST) for _ in range(4)]
    for campaign in several:
        await launch(pool, campaign.id, NOW)
    patience = 2.0
    async with launching(pool, keys, look, patience), asyncio.timeout(2 * patience):
        for campaign in several:
            await until(pool, campaign, CampaignState.LAUNCHED, None)
