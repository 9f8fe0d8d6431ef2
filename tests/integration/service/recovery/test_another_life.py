"""A database that was restored under running consumers: they read again from where its positions are now."""

import asyncio

import pytest

from kielto.events.topics import Lane
from kielto.service.inbox import transactional
from tests.integration.service.inbox.test_consumers import Inbox, send
from tests.integration.service.support import Bench, key
from tests.waiting import until

STARTED = "(SELECT at FROM started)"


@pytest.fixture
async def inbox(service: Bench, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    """The server's start is what a table says."""
    for name in ("_LIFE", "_MOVE"):
        monkeypatch.setattr(
            transactional, name, getattr(transactional, name).replace("pg_postmaster_start_time()", STARTED)
        )
    await service.pool.execute("CREATE TABLE started AS SELECT now() AS at")
    await service.pool.execute(
        'CREATE TABLE seen (topic text, partition int, "offset" bigint, key text, version text,'
        ' UNIQUE (topic, partition, "offset"))'
    )
    return Inbox(service, service.topics[service.family.topic(Lane.EXPRESS)], batch=False)


async def restore(service: Bench) -> None:
    """To an empty backup."""
    async with service.pool.acquire() as conn, conn.transaction():
        await conn.execute("DELETE FROM seen")
        await conn.execute("DELETE FROM positions")
        await conn.execute("UPDATE started SET at = clock_timestamp()")


@pytest.mark.parametrize("more", [False, True], ids=["nothing new comes", "something comes at once"])
async def test_what_was_read_since_the_backup_is_taken_in_again(
    inbox: Inbox, service: Bench, more: bool
) -> None:
    before, after = [key() for _ in range(12)], [key() for _ in range(12)]
    await send(service, inbox.topic.name, *before)
    async with inbox.running():
        await until(lambda: inbox.has_seen(*before), "not taken in")
        await restore(service)
        if more:
            await send(service, inbox.topic.name, *after)
        await until(lambda: inbox.has_seen(*before, *(after if more else ())), "not taken in again", 30)
        await asyncio.sleep(1)
    assert len(await inbox.seen()) == len(before) + len(after) * more
