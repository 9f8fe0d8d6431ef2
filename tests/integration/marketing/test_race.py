"""A ban while the launch is walking over the very person: in no order does a recipient slip in after the ban.

Two ways to get it wrong are planted, to show that these schedules would find them.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import pytest

from kielto.events.records import Customer, CustomerPermissions
from kielto.events.topics import audiences
from kielto.events.words import Status
from kielto.service.database.pool import Conn, Pool, transaction
from kielto.service.support.crypto_keys import Keys
from services.marketing.model.campaign import Aim, Campaign
from services.marketing.store import campaigns, people, recipients
from services.marketing.store.recipients import Permitted
from services.marketing.use_cases.build_audience import address_next
from services.marketing.use_cases.campaigns import launch
from tests.integration.marketing.world import (
    NOW,
    OUR_EMAIL,
    OWN_EMAIL,
    OWN_POST,
    MarketedPerson,
    actions,
    customer,
    draft,
    know,
    permissions,
    person,
    said,
    standing,
    take_in,
)

KAUPPA = audiences("company.kauppa")
Record = Customer | CustomerPermissions
_WAITING = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"""
Schedule = Callable[[Pool, Keys, Record, pytest.MonkeyPatch], Awaitable[None]]


async def blocked_or_done(pool: Pool, task: "asyncio.Task[Any]") -> None:
    """Return when the task has come to its end, or waits for a lock in this database."""
    while not task.done() and not await pool.fetchval(_WAITING):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def ban_commits_last(pool: Pool, keys: Keys, ban: Record, patch: pytest.MonkeyPatch) -> None:
    """The ban has done all its work when the walk comes by, but is not committed yet."""
    async with transaction(pool) as conn:
        await take_in(conn, ban)
        walk = asyncio.create_task(address_next(pool, keys, NOW))
        await blocked_or_done(pool, walk)
    await walk


async def walk_commits_last(pool: Pool, keys: Keys, ban: Record, patch: pytest.MonkeyPatch) -> None:
    """The walk has addressed the person when the ban comes, but is not committed yet."""
    advance, reached, go = campaigns.advance, asyncio.Event(), asyncio.Event()

    async def pausing(conn: Conn, ident: UUID, cursor: UUID, seen: int) -> None:
        reached.set()
        await go.wait()
        await advance(conn, ident, cursor, seen)

    patch.setattr(campaigns, "advance", pausing)
    walk = asyncio.create_task(address_next(pool, keys, NOW))
    await reached.wait()
    taking = asyncio.create_task(know(pool, ban))
    await blocked_or_done(pool, taking)
    go.set()
    await asyncio.gather(walk, taking)


async def after(
    schedule: Schedule, pool: Pool, keys: Keys, patch: pytest.MonkeyPatch, *, erased: bool = False
) -> tuple[set[UUID], list[str]]:
    """Who stands in the campaign at the end, and what was said of the person banned meanwhile."""
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OWN_POST]))
    campaign = await draft(pool, OWN_POST)
    await launch(pool, campaign.id, NOW)
    ban = customer(keys, who, 2, Status.ERASED) if erased else permissions(who, 2)
    async with asyncio.timeout(20):
        await schedule(pool, keys, ban, patch)
    said_of = actions(await said(pool, KAUPPA), keys.pairwise("company.kauppa", who.id))
    return await standing(pool, campaign), said_of


@pytest.mark.parametrize("erased", [False, True])
async def test_the_walk_sees_a_ban_that_commits_after_it_began(
    pool: Pool, keys: Keys, monkeypatch: pytest.MonkeyPatch, erased: bool
) -> None:
    assert await after(ban_commits_last, pool, keys, monkeypatch, erased=erased) == (set(), [])


@pytest.mark.parametrize("erased", [False, True])
async def test_the_ban_sees_a_recipient_that_commits_after_it_began(
    pool: Pool, keys: Keys, monkeypatch: pytest.MonkeyPatch, erased: bool
) -> None:
    assert await after(walk_commits_last, pool, keys, monkeypatch, erased=erased) == (
        set(),
        ["address", "recall"],
    )


def hold_nothing(patch: pytest.MonkeyPatch) -> None:
    async def hold(conn: Conn, ids: Sequence[UUID]) -> None:
        pass

    patch.setattr(people, "hold", hold)


def read_before_holding(patch: pytest.MonkeyPatch) -> None:
    hold, permitted = people.hold, recipients.permitted

    async def read_then_hold(conn: Conn, aim: Aim, customers: Sequence[UUID]) -> list[Permitted]:
        found = await permitted(conn, aim, customers)
        await hold(conn, customers)
        return found

    hold_nothing(patch)
    patch.setattr(recipients, "permitted", read_then_hold)


@pytest.mark.parametrize(
    ("plant", "schedule"),
    [
        (hold_nothing, ban_commits_last),
        (hold_nothing, walk_commits_last),
        (read_before_holding, ban_commits_last),
    ],
)
async def test_a_planted_gap_is_found(
    pool: Pool,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    schedule: Schedule,
) -> None:
    plant(monkeypatch)
    stands, said_of = await after(schedule, pool, keys, monkeypatch)
    assert stands, "the recipient who slipped in after the ban stands"
    assert said_of == ["address"]


async def test_many_launches_and_bans_at_once(pool: Pool, keys: Keys) -> None:
    """At the end nobody stands without permission, whatever met whatever; nothing is said twice of anyone."""
    dice = random.Random(7)
    crowd = [person() for _ in range(120)]
    aims = [OWN_EMAIL, OWN_POST, OUR_EMAIL]
    await know(pool, *(customer(keys, who) for who in crowd))
    await know(pool, *(permissions(who, 1, aims) for who in crowd))
    drafts = [await draft(pool, aim) for aim in aims * 2]
    for campaign in drafts:
        await launch(pool, campaign.id, NOW)
    versions = dict.fromkeys((who.id for who in crowd), 1)

    async def walk() -> None:
        more = True
        while more:
            await address_next(pool, keys, NOW, chunk=7)
            more = await pool.fetchval("SELECT count(*) > 0 FROM campaigns WHERE state = 'launching'")

    async def decide(of: Sequence[MarketedPerson]) -> None:
        for _ in range(40):
            some = dice.sample(of, dice.choice([1, 1, 5]))
            for who in some:
                versions[who.id] += 1
            await know(
                pool,
                *(
                    permissions(who, versions[who.id], dice.sample(aims, dice.randrange(len(aims) + 1)))
                    for who in some
                ),
            )

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(walk())
        for lane in range(3):
            tasks.create_task(decide(crowd[lane::3]))

    messages = await said(pool, KAUPPA)
    for campaign in drafts:
        await check(pool, keys, campaign, crowd, [m for m in messages if m["campaign"] == str(campaign.id)])


async def check(
    pool: Pool,
    keys: Keys,
    campaign: Campaign,
    crowd: Sequence[MarketedPerson],
    messages: list[dict[str, Any]],
) -> None:
    allowed = await pool.fetch(
        "SELECT customer FROM cells WHERE company = $1 AND purpose = $2 AND channel = $3",
        campaign.aim.company,
        campaign.aim.purpose,
        campaign.aim.channel,
    )
    stands = await standing(pool, campaign)
    assert stands <= {row["customer"] for row in allowed}
    by_subject: dict[str, list[str]] = {}
    for message in messages:
        by_subject.setdefault(message["subject"], []).append(message["action"])
    for who in crowd:
        said_of = by_subject.get(keys.pairwise("company.kauppa", who.id), [])
        assert said_of in ([], ["address"], ["address", "recall"])
        assert (said_of == ["address"]) == (who.id in stands)
    assert any("recall" in of for of in by_subject.values())
