"""A party that says no for people who are none of its own: above its rate that denies at the party alone, until an
officer of the group releases it; what a compromised party brought is voided.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from kielto.events.digests import digest_of
from kielto.events.messages import DecisionSubject
from kielto.events.results import ResultStatus
from kielto.events.words import Channel, PointKind, Reach
from kielto.service.database.pool import Pool
from kielto.service.process.application import Health, create_app
from services.consents.api.decisions import decisions as decisions_api
from services.consents.api.decisions import held as held_api
from services.consents.commands import decisions as decisions_command
from services.consents.model.decisions import OfficerAction
from services.consents.model.ref import NamedSubject
from services.consents.store.permissions import consequences
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions import decide as deciding
from services.consents.use_cases.decisions import release_or_void
from services.consents.use_cases.decisions.receipt import DecisionOutcome
from services.consents.use_cases.decisions.release_or_void import OfficerOrder
from services.consents.use_cases.permissions import portions
from services.consents.use_cases.propagation.whereabouts import locate
from tests.integration.consents.decisions.test_results import CompanyDesk
from tests.integration.consents.test_api import problem
from tests.integration.consents.world import ConsentsWorld, Someone, erased
from tests.tokens import PlainTokens, as_

PARTNER, KAUPPA, SAHKO = "partner.matkat", "company.kauppa", "company.sahko"
BOUND = 5
EVER = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture
def context(context: Context) -> Context:
    """With a low bound."""
    group = context.group.model_copy(update={"beat_seconds": 0.01})
    return replace(
        context, group=group, limits=context.limits.model_copy(update={"foreign_nos_per_hour": BOUND})
    )


async def strangers(world: ConsentsWorld, count: int, company: str = "sahko") -> list[Someone]:
    """None of them a customer of kauppa, or disclosed to the partner; all may be written to by their company."""
    people = [Someone((company,)) for _ in range(count)]
    await world.know(*people)
    return people


async def ban(
    world: ConsentsWorld, who: Someone | NamedSubject, party: str | None = PARTNER, **given: Any
) -> DecisionOutcome:
    subject = world.by_phone(who.phone) if isinstance(who, Someone) else who
    return await world.decide(subject, party=party, by_topic=party is not None, **given)


async def callable_by(world: ConsentsWorld, who: Someone, party: str = SAHKO) -> bool:
    return Channel.PHONE in await world.allowed(who, party)


async def banned(world: ConsentsWorld, people: list[Someone], party: str = SAHKO) -> list[bool]:
    return [not await callable_by(world, who, party) for who in people]


def order(mark: OfficerAction, party: str = PARTNER, since: datetime = EVER) -> OfficerOrder:
    return OfficerOrder(mark, party, since, "officer", "ticket 4711")


async def release(world: ConsentsWorld, party: str = PARTNER) -> int:
    return await release_or_void.act_on_all(world.context, order(OfficerAction.RELEASED, party))


async def void(world: ConsentsWorld, party: str = PARTNER, since: datetime = EVER) -> int:
    return await release_or_void.act_on_all(world.context, order(OfficerAction.VOIDED, party, since))


@pytest.mark.parametrize("party", [PARTNER, KAUPPA])
async def test_the_sixth_stranger_is_banned_at_the_party_alone(world: ConsentsWorld, party: str) -> None:
    people = await strangers(world, BOUND + 2)
    held = [(await ban(world, who, party)).held for who in people]
    assert held == [False] * BOUND + [True] * 2
    assert await banned(world, people) == [True] * BOUND + [False] * 2
    assert await world.stale() == []


async def test_what_is_held_denies_at_the_party_itself(world: ConsentsWorld) -> None:
    """Nobody may call for the partner, nor disclose to it; kauppa calls for itself as before."""
    await fill(world, PARTNER)
    who = Someone()
    await world.know(who)
    before = await partners_allowed(world, who)
    assert before == {"matkat"}
    assert (await ban(world, who, PARTNER)).held
    assert await partners_allowed(world, who) == set()
    assert await callable_by(world, who, KAUPPA)


async def partners_allowed(world: ConsentsWorld, who: Someone) -> set[str]:
    """For which partners kauppa may call."""
    body = await world.body(who, KAUPPA)
    assert body is not None
    return {
        it["partner"]
        for at in body["points"]
        if at["channel"] == Channel.PHONE
        for it in at["allow"]
        if "partner" in it
    }


async def fill(world: ConsentsWorld, party: str, **given: Any) -> list[DecisionOutcome]:
    """As many *no*s of the party about nobody known as its bound is."""
    done = [await ban(world, world.by_phone(f"+3585012{n:05}"), party, **given) for n in range(BOUND)]
    assert not any(one.held for one in done)
    return done


async def test_unknown_numbers_count_and_are_held_until_somebody_comes(world: ConsentsWorld) -> None:
    await fill(world, PARTNER)
    who = Someone(("sahko",))
    assert (await ban(world, who)).held
    await world.know(who)
    assert await callable_by(world, who)
    assert await world.stale() == []


async def test_own_people_are_never_held(world: ConsentsWorld) -> None:
    await fill(world, KAUPPA)
    await fill(world, PARTNER)
    mine, disclosed = Someone(("kauppa", "sahko")), Someone(("kauppa", "sahko"))
    await world.know(mine, disclosed)
    await world.disclose(disclosed)
    for subject in (world.by_phone(mine.phone), world.by_number(mine)):
        outcome = await ban(world, subject, KAUPPA)
        assert not outcome.held
    assert not (await ban(world, disclosed, PARTNER)).held
    by_token = NamedSubject.of_id(PARTNER, world.key(PARTNER, disclosed))
    assert not (await ban(world, by_token, PARTNER)).held
    assert await banned(world, [mine, disclosed]) == [True, True]


async def test_a_stranger_who_becomes_a_customer_is_banned_everywhere(world: ConsentsWorld) -> None:
    """A company's bans may come before its customers do."""
    await fill(world, KAUPPA)
    who = Someone(("sahko",))
    await world.know(who)
    assert (await ban(world, world.by_number(replace(who, companies=("kauppa",))), KAUPPA)).held
    assert await callable_by(world, who)
    who.companies = ("sahko", "kauppa")
    await world.lanes()
    await world.know(who)
    assert not await callable_by(world, who)
    assert "express" in await world.lanes()
    assert await world.stale() == []


async def test_neither_the_group_nor_what_stays_at_the_party_is_counted(world: ConsentsWorld) -> None:
    people = await strangers(world, 2 * BOUND)
    for who in people:
        assert not (await ban(world, who, None)).held
    for who in people:
        own = await ban(world, who, KAUPPA, reach=Reach.COMPANY, company="kauppa")
        assert not own.held
    assert len(await fill(world, KAUPPA)) == BOUND


async def test_each_party_has_its_own_hour(world: ConsentsWorld) -> None:
    await fill(world, PARTNER)
    earlier = datetime.now(UTC) - timedelta(minutes=61)
    for n in range(BOUND):
        await ban(world, world.by_phone(f"+3585013{n:05}"), SAHKO, received_at=earlier)
    [mine] = await strangers(world, 1, "kauppa")
    assert not (await ban(world, mine, SAHKO)).held
    assert (await ban(world, world.by_phone("+358501400000"), PARTNER)).held


async def test_an_address_of_many_strangers(world: ConsentsWorld, pool: Pool, context: Context) -> None:
    await fill(world, PARTNER)
    shared = "+358409999999"
    people = [Someone(("sahko",), phone=shared) for _ in range(deciding.MANY + 1)]
    await world.know(*people)
    assert (await ban(world, people[0])).held
    assert SAHKO not in await owed(pool)
    while await portions.work_off(context):
        pass
    assert await callable_by(world, people[7])
    assert await release(world) == 1
    assert all(await banned(world, people))
    assert await void(world) == BOUND + 1
    assert not any(await banned(world, people))
    assert await world.stale() == []


async def owed(pool: Pool) -> frozenset[str]:
    async with pool.acquire() as conn:
        return await consequences.families(conn)


async def test_a_release_binds_everywhere_on_the_express_lane(world: ConsentsWorld, pool: Pool) -> None:
    await fill(world, PARTNER)
    people = await strangers(world, 3)
    said = [await ban(world, who) for who in people]
    assert await banned(world, people) == [False] * 3
    await world.lanes()
    step = await release_or_void.act_on_next(world.context, order(OfficerAction.RELEASED))
    assert step is not None
    assert step.marked == 3
    assert SAHKO in await owed(pool)  # no beat vouches for what is released and not written yet
    while await portions.work_off(world.context):
        pass
    assert await banned(world, people) == [True] * 3
    assert set(await world.lanes()) == {"express"}
    assert await release(world) == 0
    found = await locate(world.context, said[0].decision.id, None)
    assert {place.party for place in found} == {SAHKO}
    assert min(place.deadline for place in found) > datetime.now(UTC)
    assert await world.stale() == []


async def test_a_void_frees_all_but_those_banned_by_another_route(world: ConsentsWorld, pool: Pool) -> None:
    people = await strangers(world, BOUND + 2)
    for who in people:
        await ban(world, who)
    await ban(world, people[0], None)
    assert await release(world) == 2
    assert all(await banned(world, people))
    own = Someone()
    await world.know(own)
    await world.disclose(own)
    await ban(world, own)
    await world.lanes()
    assert await void(world) == BOUND + 2
    assert await banned(world, people) == [True] + [False] * (BOUND + 1)
    assert set(await world.lanes()) == {"bulk"}
    assert not await callable_by(world, own, KAUPPA)
    assert await world.stale() == []
    assert await void(world) == 0
    assert await pool.fetchval("SELECT count(*) FROM decisions WHERE party = $1", PARTNER) == BOUND + 3


async def test_only_what_came_since_is_voided(world: ConsentsWorld) -> None:
    early, late = await strangers(world, 2)
    await ban(world, early)
    since = datetime.now(UTC)
    await ban(world, late)
    assert await void(world, since=since) == 1
    assert await banned(world, [early, late]) == [True, False]


async def test_another_party_is_left_alone(world: ConsentsWorld) -> None:
    [who] = await strangers(world, 1)
    await ban(world, who, KAUPPA)
    assert await void(world, PARTNER) == 0
    assert not await callable_by(world, who)


async def test_whoever_was_erased_under_a_voided_no_is_free_again(world: ConsentsWorld) -> None:
    [who] = await strangers(world, 1)
    await ban(world, who)
    await world.take_in([erased(who)])
    again = Someone(("sahko",), phone=who.phone)
    other = Someone(("sahko",), email=who.email)
    await world.know(again, other)
    assert await banned(world, [again, other]) == [True, True]
    assert await void(world) == 1
    assert await banned(world, [again, other]) == [False, False]
    assert await world.stale() == []


async def test_what_is_killed_between_steps_and_portions_goes_on(
    world: ConsentsWorld, pool: Pool, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release_or_void, "AT_ONCE", 2)
    people = await strangers(world, BOUND)
    for who in people:
        await ban(world, who)
    did = consequences.mark_done

    async def killed(*_: Any) -> None:
        raise asyncpg.ConnectionDoesNotExistError

    monkeypatch.setattr(consequences, "mark_done", killed)
    with pytest.raises(asyncpg.ConnectionDoesNotExistError):
        await void(world)
    assert all(await banned(world, people))
    monkeypatch.setattr(consequences, "mark_done", did)
    assert await void(world) == BOUND - 2  # the first two are marked already
    assert not any(await banned(world, people))
    assert await pool.fetchval("SELECT count(*) FROM consequences") == 0
    assert await world.stale() == []


async def test_the_party_is_told_what_is_held(world: ConsentsWorld, pool: Pool, context: Context) -> None:
    """A stranger and another company's customer look alike."""
    await fill(world, KAUPPA, received_at=datetime.fromtimestamp(1_800_000_000, UTC))
    [theirs] = await strangers(world, 1)
    own, nobody = Someone(), Someone(("sahko",))
    await world.know(own)
    desk = CompanyDesk(world, pool, context)
    for who in (theirs, nobody, own):
        digest = digest_of(PointKind.PHONE, who.phone)
        await desk.say(DecisionSubject(point=digest.hex(), point_kind=PointKind.PHONE))
    told = [result.status for result in await desk.told()]
    assert told == [ResultStatus.HELD, ResultStatus.HELD, ResultStatus.TAKEN]


@pytest.fixture
async def http(pool: Pool, context: Context) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        "consents",
        [decisions_api.router(context), held_api.router(context)],
        pool=pool,
        verifier=PlainTokens(),
        health=Health(claimed=True),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def say(http: httpx.AsyncClient, phone: str, token: str) -> dict[str, Any]:
    body = {"subject": {"kind": "phone", "value": phone}, "act": "ban", "route": "phone"}
    answer = await http.post("/consents/decisions", json=body, headers=as_(token))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_over_http(http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool, context: Context) -> None:
    await fill(world, KAUPPA)
    [theirs] = await strangers(world, 1)
    receipt = await say(http, theirs.phone, "desk@kauppa")
    stranger = await say(http, "+358401112223", "desk@kauppa")
    assert receipt["status"] == stranger["status"] == "held"
    assert receipt["affected"] == stranger["affected"] == {"records": 0, "versions": []}
    place = f"/consents/decisions/{receipt['decision']}"

    async def status() -> str:
        return str((await http.get(place, headers=as_("desk@kauppa"))).json()["status"])

    assert await status() == "held"
    found = (await http.get("/consents/held", headers=as_("dpo"))).json()["parties"]
    assert [(one["party"], one["held"]) for one in found] == [(KAUPPA, 2)]
    reason = {"party": KAUPPA, "reason": "ticket 4711"}
    answer = await http.post("/consents/held/release", json=reason, headers=as_("dpo"))
    assert answer.json() == {"marked": 2, "more": False}
    while await portions.work_off(context):
        pass
    assert not await callable_by(world, theirs)
    assert await status() == "pending"  # for kauppa it is about nobody
    assert (await http.get("/consents/held", headers=as_("dpo"))).json() == {"parties": []}
    answer = await http.post("/consents/held/void", json=reason, headers=as_("dpo"))
    assert answer.json() == {"marked": BOUND + 2, "more": False}
    while await portions.work_off(context):
        pass
    assert await callable_by(world, theirs)
    assert await status() == "voided"
    rows = await pool.fetch("SELECT DISTINCT kind, by, why FROM decision_marks ORDER BY kind")
    assert [tuple(row) for row in rows] == [
        ("released", "someone", "ticket 4711"),
        ("voided", "someone", "ticket 4711"),
    ]


@pytest.mark.parametrize("token", ["dpo@kauppa", "desk", "operator"])
async def test_no_company_and_no_other_role_sees_or_does_it(http: httpx.AsyncClient, token: str) -> None:
    body = {"party": SAHKO, "reason": "x"}
    answers = [
        await http.get("/consents/held", headers=as_(token)),
        await http.post("/consents/held/release", json=body, headers=as_(token)),
        await http.post("/consents/held/void", json=body, headers=as_(token)),
    ]
    assert {problem(answer)[0] for answer in answers} == {403}


async def test_another_company_sees_nothing_of_what_is_held(world: ConsentsWorld) -> None:
    """Its record, with the version, is what it was."""
    await fill(world, PARTNER)
    [who] = await strangers(world, 1)
    before = await world.version(who, SAHKO)
    await ban(world, who)
    assert await world.version(who, SAHKO) == before
    outcome = await world.decide(world.by_id(who))
    assert outcome.decision.held_at is None


async def test_by_command(world: ConsentsWorld, capsys: pytest.CaptureFixture[str]) -> None:
    people = await strangers(world, BOUND + 1)
    for who in people:
        await ban(world, who)

    async def told(*words: str) -> tuple[int, str]:
        code = await decisions_command.command(world.context, words)
        return code, capsys.readouterr().out

    code, text = await told("held")
    assert (code, text.split("\t")[:2]) == (0, [PARTNER, "1 held"])
    assert await told("release", "--party", PARTNER, "--reason", "looked at") == (0, "1 released\n")
    assert await told("held") == (0, "")
    options = ("--party", PARTNER, "--since", "2020-01-01T00:00:00Z", "--reason", "stolen token")
    assert await told("void", *options) == (0, f"{BOUND + 1} voided\n")
    assert not any(await banned(world, people))
    for wrong in (
        ("void",),
        ("release", "--party", PARTNER),
        ("void", *options, "x"),
        ("void", "--since", "x"),
    ):
        assert (await told(*wrong))[0] == 2
