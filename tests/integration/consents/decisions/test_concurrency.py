"""Opposite things said and learnt at once: nothing is lost, whatever the order in which they are committed."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kielto.events.records import Customer
from kielto.events.words import Act, Channel, Purpose, Reach
from kielto.service.database.pool import Conn, Pool, transaction
from services.consents import projections
from services.consents.store.permissions import locks
from services.consents.use_cases.decisions import decide as deciding
from services.consents.use_cases.decisions.command import Command
from services.consents.use_cases.permissions.apply_facts import take_in_customers
from tests.integration.consents.world import ConsentsWorld, Someone, erased

Work = Callable[[Conn], Awaitable[Any]]


@asynccontextmanager
async def uncommitted(pool: Pool, work: Work) -> AsyncIterator[None]:
    """What is done inside the block happens between this work and its commit."""
    async with transaction(pool) as conn:
        await work(conn)
        yield


def decision(world: ConsentsWorld, command: Command) -> Work:
    return lambda conn: deciding.decide(conn, world.context, command)


def facts(world: ConsentsWorld, *records: Customer) -> Work:
    rows = projections.newest(records, world.keys)
    return lambda conn: take_in_customers(conn, world.context, rows)


async def overlapping(world: ConsentsWorld, first: Work, second: Work) -> bool:
    """Commit the first while the second is under way. True when the second waited for it."""

    async def follow() -> None:
        while True:
            try:
                async with transaction(world.pool) as conn:
                    await second(conn)
            except locks.SubjectsMovedError:
                continue
            else:
                return

    async with uncommitted(world.pool, first):
        following = asyncio.create_task(follow())
        done, _ = await asyncio.wait([following], timeout=0.5)
    await following
    return not done


async def ban_an_address_while_its_holder_arrives(world: ConsentsWorld, *, ban_first: bool) -> set[str]:
    """What the newcomer's record allows in the end."""
    who = Someone()
    ban = decision(world, world.command(world.by_phone(who.phone)))
    arrival = facts(world, world.record(who))
    await overlapping(world, *((ban, arrival) if ban_first else (arrival, ban)))
    return await world.allowed(who)


@pytest.mark.parametrize("ban_first", [True, False])
async def test_a_ban_of_an_address_meets_the_import_that_brings_its_holder(
    world: ConsentsWorld, ban_first: bool
) -> None:
    assert await ban_an_address_while_its_holder_arrives(world, ban_first=ban_first) == {"post"}
    assert await world.stale() == []


@pytest.mark.parametrize("ban_first", [True, False])
async def test_without_the_lock_on_the_address_the_ban_is_lost(
    world: ConsentsWorld, monkeypatch: pytest.MonkeyPatch, ban_first: bool
) -> None:
    """The planted bug, so that the test above is seen to fail."""
    without = "SELECT ref FROM wanted WHERE ref NOT LIKE 'p:%' ORDER BY ref"
    for statement in ("_DECISION", "_FACTS"):
        planted = getattr(locks, statement).replace("SELECT ref FROM wanted ORDER BY ref", without)
        monkeypatch.setattr(locks, statement, planted)
    assert await ban_an_address_while_its_holder_arrives(world, ban_first=ban_first) == {"phone", "post"}
    assert await world.stale() != []


async def test_a_ban_by_number_meets_the_import(world: ConsentsWorld) -> None:
    who = Someone()
    ban = decision(world, world.command(world.by_number(who)))
    assert await overlapping(world, ban, facts(world, world.record(who)))
    assert await world.allowed(who) == set()


async def test_a_ban_and_a_consent_for_one_person(world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    yes = world.command(
        world.by_id(who),
        Act.CONSENT,
        reach=Reach.COMPANY,
        company="kauppa",
        purposes=(Purpose.OWN_MARKETING,),
        channels=(Channel.EMAIL,),
    )
    ban = world.command(world.by_id(who))
    assert await overlapping(world, decision(world, ban), decision(world, yes))
    assert await world.allowed(who) == set()
    assert await world.stale() == []


async def test_two_bans_of_a_shared_address(world: ConsentsWorld) -> None:
    one, other = Someone(phone="+358401112223"), Someone(phone="+358401112223")
    await world.know(one, other)
    sms = world.command(world.by_phone(one.phone), channels=(Channel.SMS,))
    calls = world.command(world.by_phone(one.phone), channels=(Channel.PHONE,))
    assert await overlapping(world, decision(world, sms), decision(world, calls))
    for who in (one, other):
        assert await world.restrictions(who) == {sms.id, calls.id}
    assert await world.stale() == []


@pytest.mark.parametrize("told_by_the_survivor", [False, True])
async def test_a_merge_meets_a_ban_of_the_one_that_is_merged_away(
    world: ConsentsWorld, told_by_the_survivor: bool
) -> None:
    survivor, merged = Someone(), Someone()
    await world.know(survivor, merged)
    if told_by_the_survivor:
        merge = facts(world, world.record(survivor, aliases=(merged.id,)))
    else:
        merge = facts(world, world.record(merged, alias_of=survivor.id, status="alias"))
    ban = decision(world, world.command(world.by_id(merged)))
    assert await overlapping(world, merge, ban)
    assert await world.allowed(survivor) == await world.allowed(merged) == set()
    assert await world.stale() == []


@pytest.mark.parametrize("decision_first", [True, False])
async def test_a_no_meets_the_record_that_it_binds_by_a_link(
    world: ConsentsWorld, decision_first: bool
) -> None:
    one, other = Someone(), Someone(("sahko",))
    await world.know(one)
    ban = decision(world, world.command(world.by_number(one)))
    arrival = facts(world, world.record(other, bound_by=(one.id,)))
    assert await overlapping(world, *((ban, arrival) if decision_first else (arrival, ban)))
    assert await world.allowed(other, "company.sahko") == set()
    assert await world.stale() == []


@pytest.mark.parametrize("banned_first", [True, False])
async def test_the_record_of_the_banned_meets_the_one_that_it_binds_by_a_link(
    world: ConsentsWorld, banned_first: bool
) -> None:
    """What waited for the one binds both from the first record on."""
    one, other = Someone(), Someone(("sahko",))
    await world.decide(world.by_number(one))
    first, second = facts(world, world.record(one)), facts(world, world.record(other, bound_by=(one.id,)))
    assert await overlapping(world, *((first, second) if banned_first else (second, first)))
    assert await world.allowed(other, "company.sahko") == set()
    assert await world.stale() == []


@pytest.mark.parametrize("by", ["phone", "known_by", "known_by_mailbox"])
@pytest.mark.parametrize("erasure_first", [True, False])
async def test_an_erasure_meets_the_record_of_whoever_is_known_to_be_the_erased(
    world: ConsentsWorld, erasure_first: bool, by: str
) -> None:
    gone = Someone()
    token = {} if by == "phone" else {by: ("t" * 64,)}
    again = Someone(phone=gone.phone) if by == "phone" else Someone()
    await world.know(gone, **token)
    await world.decide(world.by_id(gone))
    erasure, arrival = facts(world, erased(gone)), facts(world, world.record(again, **token))
    assert await overlapping(world, *((erasure, arrival) if erasure_first else (arrival, erasure)))
    await world.know(again, **token)
    assert await world.allowed(again) == set()
    assert await world.stale() == []


async def test_an_erasure_meets_a_ban(world: ConsentsWorld) -> None:
    gone = Someone()
    await world.know(gone)
    ban, erasure = decision(world, world.command(world.by_number(gone))), facts(world, erased(gone))
    assert await overlapping(world, ban, erasure)
    again = Someone(phone=gone.phone)
    await world.know(again)
    assert await world.allowed(again) == set()


async def test_many_at_once(world: ConsentsWorld) -> None:
    """At random, with shared addresses; afterwards every record is what the model says of everything."""
    rng = random.Random(7)
    phones = [f"+35840555000{i}" for i in range(3)]
    people = [Someone(("kauppa", "sahko"), phone=rng.choice(phones)) for _ in range(12)]
    pending = asyncio.Semaphore(8)

    async def one(step: int) -> None:
        who = people[rng.randrange(len(people))]
        async with pending:
            match step % 5:
                case 0:
                    await world.know(who, active=("kauppa",) if rng.random() < 0.3 else ("kauppa", "sahko"))
                case 1:
                    await world.decide(world.by_phone(rng.choice(phones)), channels=(Channel.PHONE,))
                case 2:
                    await world.decide(world.by_id(who), reach=Reach.COMPANY, company="kauppa")
                case 3:
                    await world.decide(world.by_number(who, "sahko"))
                case _:
                    other = people[rng.randrange(len(people))]
                    if other is not who:
                        await world.know(other, alias_of=who.id, status="alias")

    await asyncio.gather(*(one(step) for step in range(150)))
    assert await world.stale() == []
    assert await world.pool.fetchval("SELECT count(*) FROM decisions") == 90
