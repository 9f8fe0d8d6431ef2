"""A launch whose process is killed goes on where it was: everyone is addressed, and nobody twice."""

import asyncio
import random
import sys
from collections import Counter
from pathlib import Path

from deploy.local.paths import ROOT
from kielto.events.topics import MARKETING_EVENTS, audiences
from kielto.service.database.pool import Pool
from kielto.service.support.crypto_keys import Keys
from services.marketing.use_cases.campaigns import launch
from tests.integration.marketing import walker
from tests.integration.marketing.world import (
    NOW,
    THEIR_POST,
    customer,
    draft,
    know,
    permissions,
    person,
    said,
)

CROWD, CHUNK = 600, 5


async def start(dsn: str, keys_file: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        walker.__file__,
        dsn,
        str(keys_file),
        str(CHUNK),
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'shared'}"},
    )


async def seen(pool: Pool, at_least: int = 0) -> int:
    """How many people were looked at, once they are so many."""
    while (number := await pool.fetchval("SELECT seen FROM campaigns")) < at_least:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    return int(number)


async def test_a_killed_launch_goes_on(pool: Pool, dsn: str, keys: Keys, keys_file: Path) -> None:
    dice = random.Random(3)
    crowd = [person() for _ in range(CROWD)]
    await know(pool, *(customer(keys, who) for who in crowd))
    await know(pool, *(permissions(who, 1, [THEIR_POST]) for who in crowd))
    campaign = await draft(pool, THEIR_POST)
    await launch(pool, campaign.id, NOW)
    for part in (1, 2, 3):
        process = await start(dsn, keys_file)
        await seen(pool, part * CROWD // 5)
        await asyncio.sleep(dice.uniform(0, 0.01))
        process.kill()
        await process.wait()
        assert await seen(pool) < CROWD, "it was to be killed under way"
    assert await (await start(dsn, keys_file)).wait() == 0
    assert await pool.fetchval("SELECT state FROM campaigns") == "launched"
    for topic, field in ((audiences("partner.matkat"), "subject"), (MARKETING_EVENTS, "customer")):
        times = Counter(message[field] for message in await said(pool, topic))
        assert len(times) == CROWD
        assert set(times.values()) == {1}
