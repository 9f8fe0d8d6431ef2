"""A party that speaks of one subject very often: others are heard all the same, and what is kept is bounded."""

from itertools import combinations
from typing import Any
from uuid import UUID

import pytest

from kielto.events.party import Party
from kielto.events.words import Act, Channel, Purpose, Reach
from kielto.service.database.pool import Pool
from services.consents.model.check import DecisionError
from services.consents.model.ref import NamedSubject
from services.consents.use_cases.decisions import decide as deciding
from services.consents.use_cases.decisions import often
from services.consents.use_cases.decisions.receipt import DecisionOutcome
from services.consents.use_cases.permissions import evaluate_people
from tests.integration.consents.world import ConsentsWorld, Someone

PARTY = "company.kauppa"
OWN: dict[str, Any] = {"reach": Reach.COMPANY, "company": "kauppa", "purposes": (Purpose.OWN_MARKETING,)}


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(often, "MOST", 3)
    monkeypatch.setattr(often, "SAME", 2)


async def no(
    world: ConsentsWorld, subject: NamedSubject, party: str | None = PARTY, **given: Any
) -> DecisionOutcome:
    return await world.decide(subject, party=party, **given)


async def stored(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM decisions"))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("by", ["number", "phone"])
async def test_what_was_said_often_is_kept_no_more(
    pool: Pool, world: ConsentsWorld, by: str, known: bool
) -> None:
    who = Someone(("kauppa", "sahko"))
    if known:
        await world.know(who)
    subject = world.by_number(who) if by == "number" else world.by_phone(who.phone)
    ids = [(await no(world, subject)).decision.id for _ in range(2)]
    again = await no(world, subject)
    assert (again.repeats, again.decision.id in ids, await stored(pool)) == (True, True, 2)
    assert again.pending is not known
    other = await no(world, world.by_number(who, "sahko"), "company.sahko")
    assert not other.repeats, "nobody else's count"
    assert not (await no(world, subject, None)).repeats, "the group's own desks have no limit"
    await world.know(who)
    assert await world.allowed(who) == set()
    assert await world.stale() == []


async def test_one_that_was_lifted_does_not_say_it_any_more(pool: Pool, world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    before = await world.allowed(who)
    nos = [(await no(world, world.by_id(who), **OWN)).decision.id for _ in range(2)]
    yes: dict[str, Any] = OWN | {"channels": tuple(Channel), "lifts": tuple(nos)}
    await world.decide(world.by_number(who), Act.LIFTING, party=PARTY, **yes)
    assert await world.allowed(who) == before
    anew = await no(world, world.by_id(who), **OWN)
    assert not anew.repeats
    assert anew.decision.id in await world.restrictions(who)
    assert (await no(world, world.by_id(who), **OWN)).decision.id == anew.decision.id


async def test_one_that_says_more_is_taken_as_wide_as_its_reach(pool: Pool, world: ConsentsWorld) -> None:
    """So that subsets of channels are not counted through, and no word is lost."""
    who = Someone()
    await world.know(who)
    pairs = list(combinations([Channel.EMAIL, Channel.SMS, Channel.PHONE, Channel.POST], 2))
    taken = [await no(world, world.by_id(who), **OWN, channels=pair) for pair in pairs]
    assert [one.repeats for one in taken] == [False] * 4 + [True] * 2
    assert [bool(one.decision.widened) for one in taken] == [False] * 3 + [True] * 3
    assert not taken[3].decision.channels | taken[3].decision.purposes
    assert await world.allowed(who) == set()
    assert not (await no(world, world.by_id(who))).repeats, "the whole group is more than the company"
    assert (await no(world, world.by_id(who), **OWN)).repeats


async def test_a_yes_beyond_is_refused(pool: Pool, world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    for _ in range(3):
        await world.consent(who, Channel.SMS, party=PARTY)
    with pytest.raises(DecisionError, match="yeses"):
        await world.consent(who, Channel.SMS, party=PARTY)
    await pool.execute("UPDATE decisions SET received_at = received_at - interval '25 hours'")
    await world.consent(who, Channel.SMS, party=PARTY)


async def test_a_no_of_an_address_of_many_is_worked_off_as_seldom_as_any(
    pool: Pool, world: ConsentsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deciding, "MANY", 2)
    people = [Someone(phone="+358405550123") for _ in range(4)]
    await world.know(*people)
    for expected in (False, False, True, True):
        outcome = await no(world, world.by_phone("+358405550123"))
        assert outcome.repeats is expected
        assert outcome.records_of(Party(PARTY)) == 4
    assert await pool.fetchval("SELECT count(*) FROM consequences") == 2


async def test_a_record_lists_the_newest_restrictions_and_has_its_bound(
    pool: Pool, world: ConsentsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 7,000 it was too large for a message: decisions about the person were refused, and facts tried for ever."""
    monkeypatch.setattr(evaluate_people, "LISTED", 4)
    who, ids = Someone(("kauppa", "sahko")), list[UUID]()
    await world.know(who)
    for _ in range(6):
        ids.append((await no(world, world.by_id(who), None)).decision.id)
        assert await world.restrictions(who) == set(ids[-4:])
    await world.know(who)
    assert await world.stale() == []
