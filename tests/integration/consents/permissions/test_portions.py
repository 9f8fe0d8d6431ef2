"""A decision about more customers than one transaction computes: committed at once, its consequences in portions."""

import asyncio
import time
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from kielto.events.topics import CONSENTS
from kielto.events.words import Act, Channel, Purpose, Reach, Recipient
from kielto.service.database.epoch import EpochNotOpenError
from kielto.service.database.pool import Conn, Pool, transaction
from services.consents import projections
from services.consents.store.decisions import decisions
from services.consents.store.permissions import consequences
from services.consents.store.permissions.consequences import OwedDecision
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions import decide as deciding
from services.consents.use_cases.decisions.receipt import receipt
from services.consents.use_cases.permissions import portions
from services.consents.use_cases.permissions.apply_facts import take_in_customers
from services.consents.use_cases.propagation.whereabouts import Stage, locate
from tests.integration.consents.world import ConsentsWorld, Someone

SHARED = "+358401234567"
PEOPLE = deciding.MANY + 30


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions, "PORTION", 50)


async def holders(world: ConsentsWorld, count: int = PEOPLE, *companies: str) -> list[Someone]:
    """So many customers who have one phone number, after what others have already."""
    people = [Someone(companies or ("kauppa",), phone=SHARED) for _ in range(count)]
    for first in range(0, count, 100):
        await world.know(*people[first : first + 100])
    return people


async def banned(world: ConsentsWorld, people: list[Someone], party: str = "company.kauppa") -> int:
    return sum([await phone_banned(world, who, party) for who in people])


async def phone_banned(world: ConsentsWorld, who: Someone, party: str = "company.kauppa") -> bool:
    return Channel.PHONE not in await world.allowed(who, party)


async def work_off(context: Context) -> int:
    """All of it; how many portions."""
    done = 0
    while await portions.work_off(context):
        done += 1
    return done


async def owed(pool: Pool) -> frozenset[str]:
    async with pool.acquire() as conn:
        return await consequences.families(conn)


async def test_the_no_is_committed_at_once_and_the_rest_follows(
    world: ConsentsWorld, pool: Pool, context: Context, small: None
) -> None:
    people = await holders(world)
    outcome = await world.decide(world.by_phone(SHARED))
    assert not outcome.written
    assert await banned(world, people) == 0
    assert await owed(pool) == {"company.kauppa", CONSENTS.name}
    assert await work_off(context) == 4  # 50, 50, 30, and the end
    assert await banned(world, people) == PEOPLE
    assert await owed(pool) == frozenset()
    assert await world.stale() == []
    assert set(await world.lanes()) >= {"express"}


async def test_its_receipt_says_what_is_about_to_change(world: ConsentsWorld, context: Context) -> None:
    await holders(world, PEOPLE)
    await holders(world, 2, "sahko")
    outcome = await world.decide(world.by_phone(SHARED), party="company.sahko")
    shown = receipt(context, outcome, "sahko")
    assert (shown.status, shown.affected.records, shown.affected.versions) == ("in_force", 2, [])
    everything = receipt(context, outcome, None)
    assert everything.affected.records == 2 * PEOPLE + 2 * 2  # each has a record of ours, too
    nobody = receipt(context, outcome, "kauppa")
    assert (nobody.status, nobody.affected.records) == ("in_force", PEOPLE)


async def test_a_receipt_does_not_tell_how_many_others_have_the_address(
    world: ConsentsWorld, context: Context
) -> None:
    """Two of one's own beside nobody, and beside a hundred of another company."""
    answers = []
    for others in (0, PEOPLE):
        phone = f"+35840777{others:04}"
        await world.know(*(Someone(("sahko",), phone=phone) for _ in range(2)))
        await world.know(*(Someone(phone=phone) for _ in range(others)))
        outcome = await world.decide(world.by_phone(phone), party="company.sahko")
        shown = receipt(context, outcome, "sahko").model_dump()
        answers.append(
            {
                k: v
                for k, v in shown.items()
                if k not in ("decision", "reference", "received_at", "effective_from")
            }
        )
    assert answers[0] == answers[1]


async def test_somebody_whom_a_fact_changes_between_portions_is_right_at_once(
    world: ConsentsWorld, pool: Pool, context: Context, small: None
) -> None:
    people = await holders(world)
    await world.decide(world.by_phone(SHARED))
    await portions.work_off(context)
    late = [who for who in people if not await phone_banned(world, who)][-1]
    await world.know(late)
    newcomer = Someone(("sahko",), phone=SHARED)
    await world.know(newcomer)
    assert await phone_banned(world, late)
    assert await phone_banned(world, newcomer, "company.sahko")
    await work_off(context)
    assert await world.stale() == []


async def test_portions_that_are_killed_or_done_twice_leave_nothing_out(
    world: ConsentsWorld, pool: Pool, context: Context, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await holders(world)
    outcome = await world.decide(world.by_phone(SHARED))
    bear = decisions.add_records

    async def killed(*_: Any) -> None:
        raise asyncpg.ConnectionDoesNotExistError

    assert await portions.work_off(context)
    before = await banned(world, people)
    monkeypatch.setattr(decisions, "add_records", killed)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await portions.work_off(context)
    assert await banned(world, people) == before
    assert "company.kauppa" in await owed(pool)
    monkeypatch.setattr(decisions, "add_records", bear)
    await asyncio.gather(*(work_off(context) for _ in range(3)))
    assert await work_off(context) == 0
    assert await banned(world, people) == PEOPLE
    shown = await pool.fetchval(
        "SELECT count(*) FROM decision_records WHERE decision = $1 AND family = 'company.kauppa'",
        outcome.decision.id,
    )
    assert shown == PEOPLE


@pytest.mark.parametrize(
    "fault", [asyncpg.ConnectionDoesNotExistError, asyncpg.LockNotAvailableError, EpochNotOpenError]
)
async def test_what_passes_by_itself_holds_it_up_no_longer_than_it_lasts(
    world: ConsentsWorld,
    pool: Pool,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    fault: type[Exception],
) -> None:
    """Gates are shut until it is through, so it does not wait longer after each failure."""
    people = await holders(world)
    await world.decide(world.by_phone(SHARED))
    begin, failed = consequences.next_owed, 0

    async def next_begun(conn: Conn) -> OwedDecision | None:
        nonlocal failed
        failed += 1
        if failed <= 5:
            raise fault
        return await begin(conn)

    monkeypatch.setattr(consequences, "next_owed", next_begun)
    monkeypatch.setattr(portions, "_IDLE_SECONDS", 0.01)
    working = asyncio.create_task(portions.work_off_for_ever(context))
    async with asyncio.timeout(20):
        while not working.done() and await owed(pool):  # noqa: ASYNC110 - another task's transactions
            await asyncio.sleep(0.05)
    assert not working.done()
    working.cancel()
    assert await banned(world, people) == PEOPLE


async def test_it_is_everywhere_only_when_its_last_portion_is(
    world: ConsentsWorld, pool: Pool, context: Context, small: None
) -> None:
    await holders(world)
    outcome = await world.decide(world.by_phone(SHARED))
    for done in range(3):
        found = await locate(context, outcome.decision.id, None)
        assert {location.stage for location in found} == {Stage.UNPUBLISHED}, done
        assert all(location.applied < location.records for location in found)
        assert {location.party for location in found} == {"company.kauppa"}
        await portions.work_off(context)
    await work_off(context)
    found = await locate(context, outcome.decision.id, None)
    assert {location.records for location in found} == {PEOPLE}


async def test_beats_are_withheld_of_those_it_speaks_of_alone(
    world: ConsentsWorld, pool: Pool, context: Context, small: None
) -> None:
    """kauppa's own no about an address that customers of both have."""
    await holders(world, PEOPLE, "kauppa", "sahko")
    await world.decide(world.by_phone(SHARED), reach=Reach.COMPANY, company="kauppa")
    assert await owed(pool) == {"company.kauppa", CONSENTS.name}
    await work_off(context)
    assert await owed(pool) == frozenset()


async def test_a_yes_about_many_keeps_no_beat_back(
    world: ConsentsWorld, pool: Pool, context: Context, small: None
) -> None:
    people = await holders(world)
    ban = await world.decide(world.by_phone(SHARED))
    await work_off(context)
    about = {"reach": Reach.COMPANY, "company": "kauppa", "purposes": (Purpose.OWN_MARKETING,)}
    await world.lanes()
    lifted = await world.decide(world.by_phone(SHARED), Act.LIFTING, lifts=(ban.decision.id,), **about)
    left = ban.decision.id  # of partners' marketing
    assert receipt(context, lifted, None).remaining_restrictions == [str(left)]
    assert receipt(context, lifted, "kauppa").remaining_restrictions == [
        context.keys.pairwise("company.kauppa", left)
    ]
    assert await owed(pool) == frozenset()
    assert await banned(world, people) == PEOPLE
    await work_off(context)
    assert await banned(world, people) == 0
    assert set(await world.lanes()) == {"bulk"}
    assert await world.stale() == []


async def test_a_no_between_a_lifting_and_its_portions_stays(
    world: ConsentsWorld, pool: Pool, context: Context, small: None
) -> None:
    people = await holders(world)
    ban = await world.decide(world.by_phone(SHARED))
    await work_off(context)
    about = {"reach": Reach.COMPANY, "company": "kauppa", "purposes": (Purpose.OWN_MARKETING,)}
    await world.decide(world.by_phone(SHARED), Act.LIFTING, lifts=(ban.decision.id,), **about)
    await world.decide(world.by_id(people[0]))
    await work_off(context)
    assert await phone_banned(world, people[0])
    assert await banned(world, people) == 1


async def test_an_organisation_with_many_contact_persons(
    world: ConsentsWorld, pool: Pool, context: Context, small: None
) -> None:
    firm = Someone()
    await world.know(firm, recipient=Recipient.LEGAL)
    people = [Someone() for _ in range(PEOPLE)]
    await world.know(*people, recipient=Recipient.CONTACT, organisation=firm.id, duties=("buying",))
    outcome = await world.decide(world.by_id(firm))
    assert not outcome.written
    await work_off(context)
    assert await banned(world, [firm, *people]) == PEOPLE + 1
    assert await world.stale() == []


async def test_somebody_who_joins_while_it_is_committed_is_not_left_out(
    world: ConsentsWorld, pool: Pool, context: Context, small: None
) -> None:
    """A contact person comes whose record was computed before the decision, and is committed after it."""
    firm = Someone()
    await world.know(firm, recipient=Recipient.LEGAL)
    people = [Someone() for _ in range(PEOPLE)]
    await world.know(*people, recipient=Recipient.CONTACT, organisation=firm.id, duties=("buying",))
    newcomer = Someone(id=UUID(int=1 << 90))  # the first of all portions
    record = world.record(newcomer, recipient=Recipient.CONTACT, organisation=firm.id, duties=("buying",))
    async with pool.acquire() as conn:
        begun = conn.transaction()
        await begun.start()
        rows = projections.newest([record], context.keys)
        await take_in_customers(conn, context, rows)
        await world.decide(world.by_number(firm))
        working = asyncio.create_task(work_off(context))
        await asyncio.sleep(0.5)
        assert not working.done()
        await begun.commit()
    await working
    await work_off(context)
    assert await phone_banned(world, newcomer)
    assert await world.stale() == []
    assert await owed(pool) == frozenset()


async def test_another_ban_of_a_holder_waits_for_no_portion(
    world: ConsentsWorld, pool: Pool, context: Context
) -> None:
    people = await holders(world)
    async with transaction(pool) as conn:
        command = world.command(world.by_phone(SHARED))
        await deciding.decide(conn, context, command)
        async with asyncio.timeout(5):
            await world.decide(world.by_id(people[0]))  # the decision about all is not committed yet
    await work_off(context)
    assert await world.stale() == []


async def test_at_most_so_many_are_computed_with_the_decision(world: ConsentsWorld, pool: Pool) -> None:
    people = await holders(world, deciding.MANY)
    outcome = await world.decide(world.by_phone(SHARED))
    assert len({w.customer for w in outcome.written}) == len(people)
    assert await pool.fetchval("SELECT count(*) FROM consequences") == 0


async def test_a_repeated_one_from_a_topic_is_taken_once(
    world: ConsentsWorld, pool: Pool, context: Context
) -> None:
    await holders(world)
    command = world.command(world.by_phone(SHARED), by_topic=True, content=b"x")
    taken = []
    for _ in range(2):
        async with transaction(pool) as conn:
            taken.append(await deciding.decide(conn, context, command))
    assert taken[0] is not None
    assert taken[1] is None
    assert await pool.fetchval("SELECT count(*) FROM consequences") == 1


async def test_four_thousand_holders_are_through_in_ten_seconds(
    world: ConsentsWorld, pool: Pool, context: Context
) -> None:
    people = await holders(world, 4000)
    before = time.monotonic()
    await world.decide(world.by_phone(SHARED))
    committed = time.monotonic() - before
    await work_off(context)
    through = time.monotonic() - before
    print(f"committed after {committed:.2f} s, through after {through:.1f} s")
    assert await banned(world, people[::100]) == 40
    assert committed < 2
    assert through < 60  # 10 s on a machine of one's own; two cores are shared here
