"""What a decision does to the records: for people, numbers and addresses, known and unknown."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4, uuid5

import pytest

from kielto.events.words import Act, Channel, Purpose, Reach
from services.consents.model.check import DecisionError
from services.consents.model.decisions import Actor
from services.consents.model.ref import NamedSubject
from services.consents.use_cases.decisions import decide as deciding
from services.consents.use_cases.decisions.command import ForbiddenError
from services.consents.use_cases.permissions.explain import explain
from tests.integration.consents.world import ConsentsWorld, Someone


async def test_a_ban_takes_everything_away_on_the_express_lane(world: ConsentsWorld) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    assert await world.allowed(who) == {"phone", "post"}
    assert set(await world.lanes()) == {"bulk"}

    outcome = await world.decide(world.by_id(who))

    assert not outcome.pending
    assert await world.allowed(who) == set()
    assert await world.allowed(who, "company.sahko") == set()
    assert await world.restrictions(who) == {outcome.decision.id}
    assert await world.lanes() == ["express"] * 3
    assert {(w.family, w.version.n) for w in outcome.written} == {
        ("consents", 2),
        ("company.kauppa", 2),
        ("company.sahko", 2),
    }


async def test_a_ban_of_one_company_leaves_the_other(world: ConsentsWorld) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    await world.decide(world.by_id(who), reach=Reach.COMPANY, company="kauppa")
    assert await world.allowed(who) == set()
    assert await world.allowed(who, "company.sahko") == {"phone", "post"}
    assert await world.version(who, "company.sahko") == 1


async def test_a_second_ban_changes_our_record_alone(world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    first = await world.decide(world.by_id(who))
    await world.lanes()
    second = await world.decide(world.by_id(who))
    assert await world.restrictions(who) == {first.decision.id, second.decision.id}
    assert await world.lanes() == ["express"]
    assert await world.version(who) == 2


async def test_a_lifting_lifts_what_it_cites_and_travels_by_bulk(world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    bans = [(await world.decide(world.by_id(who))).decision.id for _ in range(2)]
    await world.lanes()
    await world.decide(world.by_id(who), Act.LIFTING, lifts=(bans[0],))
    assert await world.allowed(who) == set()
    assert await world.restrictions(who) == {bans[1]}
    await world.decide(world.by_id(who), Act.LIFTING, lifts=(bans[1],))
    assert await world.allowed(who) == {"phone", "post"}
    assert set(await world.lanes()) == {"bulk"}


@pytest.mark.parametrize("subject", ["customer", "number", "phone"])
async def test_a_ban_for_somebody_unknown_waits_and_binds_their_first_record(
    world: ConsentsWorld, subject: str
) -> None:
    who = Someone()
    subjects = {
        "customer": world.by_id(who),
        "number": world.by_number(who),
        "phone": world.by_phone(who.phone),
    }
    outcome = await world.decide(subjects[subject])
    assert outcome.pending
    assert outcome.written == []

    await world.know(who)

    assert await world.allowed(who) == ({"post"} if subject == "phone" else set())
    assert await world.restrictions(who) == {outcome.decision.id}
    assert await world.version(who) == 1  # the record never permitted what was banned
    bound = await world.pool.fetch(
        "SELECT family, n FROM decision_records WHERE decision = $1", outcome.decision.id
    )
    assert {(row["family"], row["n"]) for row in bound} == {("consents", 1), ("company.kauppa", 1)}


async def test_a_company_bans_by_an_id_that_we_do_not_know_yet(world: ConsentsWorld) -> None:
    who = Someone()
    subject = NamedSubject.of_id("company.kauppa", world.key("company.kauppa", who))
    outcome = await world.decide(subject, party="company.kauppa", by_topic=True)
    assert outcome.pending
    await world.know(who)
    assert await world.allowed(who) == set()
    later = await world.decide(subject, party="company.kauppa", by_topic=True)
    assert not later.pending


async def test_a_shared_number_binds_everyone_who_has_it(world: ConsentsWorld) -> None:
    one, other = Someone(), Someone(phone="+358401234567")
    one.phone = other.phone
    await world.know(one, other)
    await world.decide(world.by_phone(one.phone))
    assert await world.allowed(one) == await world.allowed(other) == {"post"}


async def test_a_consent_permits_for_the_company_that_it_names(world: ConsentsWorld) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    await world.consent(
        who,
        Channel.EMAIL,
        product_groups=("groceries",),
    )
    body = await world.body(who)
    assert body is not None
    email = next(at for at in body["points"] if at["channel"] == "email")
    assert email["allow"] == [{"purpose": "own_marketing", "product_groups": ["groceries"]}]
    assert "email" not in await world.allowed(who, "company.sahko")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"lifts": (uuid4(),)}, "lifts"),
        ({"lifts": ("ab" * 32,)}, "lifts"),
        ({"lifts": ()}, "lifts"),
        ({"lifts": (uuid4(),), "by": Actor.STAFF}, "by"),
    ],
)
async def test_a_lifting_that_cites_nothing_known_is_refused(
    world: ConsentsWorld, given: dict[str, Any], field: str
) -> None:
    who = Someone()
    await world.know(who)
    with pytest.raises(DecisionError) as error:
        await world.decide(world.by_id(who), Act.LIFTING, **given)
    assert error.value.field in (field, "lifts")
    assert await world.pool.fetchval("SELECT count(*) FROM decisions") == 0


async def test_a_yes_for_somebody_unknown_is_refused(world: ConsentsWorld) -> None:
    with pytest.raises(DecisionError, match="subject"):
        await world.consent(
            Someone(),
            Channel.EMAIL,
        )


async def test_a_company_acts_for_its_own_customers_and_for_itself(world: ConsentsWorld) -> None:
    who = Someone(("sahko",))
    await world.know(who)
    yes = {"reach": Reach.COMPANY, "company": "kauppa", "purposes": (Purpose.OWN_MARKETING,)}
    for subject in (world.by_id(who), world.by_phone(who.phone)):
        with pytest.raises(DecisionError, match="subject"):
            await world.decide(subject, Act.CONSENT, party="company.kauppa", channels=(Channel.SMS,), **yes)
    with pytest.raises(ForbiddenError, match="subject"):
        await world.decide(world.by_number(who, "sahko"), party="company.kauppa")
    with pytest.raises(ForbiddenError, match="reach"):
        await world.decide(world.by_id(who), party="company.sahko", by=Actor.STAFF)
    await world.decide(world.by_id(who), party="company.sahko")
    await world.decide(world.by_id(who), party="company.sahko", by=Actor.IMPORT, by_topic=True)


async def test_what_is_repeated_changes_nothing(world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    command = world.command(world.by_id(who))
    for expected in (True, False, False):
        async with world.pool.acquire() as conn, conn.transaction():
            assert (await deciding.decide(conn, world.context, command) is not None) is expected
    assert await world.version(who) == 2


async def test_a_no_that_cannot_be_understood_is_kept_as_widened(world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    given: dict[str, Any] = {"party": "company.kauppa", "reach": Reach.PARTNER, "partner": "nobody"}
    with pytest.raises(DecisionError, match="partner"):  # a desk can be asked back
        await world.decide(world.by_id(who), **given)
    outcome = await world.decide(world.by_id(who), by_topic=True, **given)
    assert outcome.decision.reach is Reach.PARTNERS
    row = await world.pool.fetchrow("SELECT * FROM decisions WHERE id = $1", outcome.decision.id)
    assert row is not None
    assert (row["reach"], row["partner"], row["widened"]) == (
        "partners", None, ["partner: must be a partner of the group"],
    )  # fmt: skip
    assert await world.restrictions(who) == {outcome.decision.id}
    again = await explain(world.context, who.id, "kauppa")
    assert again.decisions[outcome.decision.id].widened == outcome.decision.widened


async def test_another_no_under_a_used_id_is_one_of_its_own(world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    ident = uuid4()

    async def come(content: bytes, act: Act = Act.BAN, **given: Any) -> bool:
        command = world.command(
            world.by_id(who), act, id=ident, party="company.kauppa", by_topic=True, content=content, **given
        )
        async with world.pool.acquire() as conn, conn.transaction():
            return await deciding.decide(conn, world.context, command) is not None

    assert await come(b"one", channels=(Channel.SMS,))
    assert await world.allowed(who) == {"phone", "post"}
    for expected in (True, False):
        assert await come(b"other", evidence="his own words") is expected
        assert not await come(b"one", channels=(Channel.SMS,))
    assert await world.allowed(who) == set()
    assert await world.restrictions(who) == {ident, uuid5(ident, b"other".hex())}
    with pytest.raises(DecisionError, match=r"^id: "):
        await come(b"a yes", Act.LIFTING, reach=Reach.COMPANY, company="kauppa", lifts=(ident,))
    assert len(await world.restrictions(who)) == 2


async def test_a_lifting_is_not_judged_by_its_date(world: ConsentsWorld) -> None:
    """What it cites shows that the ban was known to whoever gave it; a date shows nothing."""
    who = Someone()
    await world.know(who)
    now = datetime.now(UTC)
    ban = (await world.decide(world.by_id(who), said_at=now)).decision.id
    await world.decide(world.by_id(who), Act.LIFTING, lifts=(ban,), said_at=now - timedelta(days=400))
    assert await world.restrictions(who) == set()
    assert await world.allowed(who) == {"phone", "post"}
    later = (await world.decide(world.by_id(who), said_at=now - timedelta(days=800))).decision.id
    assert await world.restrictions(who) == {later}, "a ban from before the lifting is not lifted by it"
    with pytest.raises(DecisionError, match="lifts"):  # one that is not held yet cannot be cited at a desk
        await world.decide(world.by_id(who), Act.LIFTING, lifts=(uuid4(),), said_at=now)
