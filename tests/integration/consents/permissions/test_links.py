"""A person's own no binds every record that may be the same person, and nobody is told of another company's record."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.events.words import Act, Channel, Purpose, Reach
from services.consents.model.check import DecisionError
from services.consents.model.ref import NamedSubject
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.receipt import receipt
from services.consents.use_cases.permissions.explain import explain
from services.consents.use_cases.propagation.whereabouts import locate
from tests.integration.consents.world import ConsentsWorld, Someone

EVERYTHING: dict[str, Any] = {"purposes": tuple(Purpose), "channels": tuple(Channel), "reach": Reach.GROUP}


async def linked(world: ConsentsWorld) -> tuple[Someone, Someone]:
    """kauppa's customer and sahko's, who may be the same person: the first's own no binds the second."""
    one, other = Someone(("kauppa",)), Someone(("sahko",))
    await world.know(one)
    await world.know(other, bound_by=(one.id,))
    assert await world.allowed(other, "company.sahko") == {"phone", "post"}
    return one, other


def by_each(world: ConsentsWorld, who: Someone) -> list[NamedSubject]:
    """Every name of the person, but for addresses."""
    return [
        world.by_id(who),
        world.by_number(who),
        NamedSubject.of_id("company.kauppa", world.key("company.kauppa", who)),
    ]


@pytest.mark.parametrize("name", range(3))
async def test_a_no_by_any_name_of_the_person_binds_the_other_record_at_once(
    world: ConsentsWorld, name: int
) -> None:
    one, other = await linked(world)
    await world.lanes()
    said = await world.decide(by_each(world, one)[name])
    assert await world.allowed(other, "company.sahko") == set()
    assert await world.restrictions(other) == {said.decision.id}
    assert set(await world.lanes()) == {"express"}
    assert await world.stale() == []


@pytest.mark.parametrize(
    ("whose", "said", "lane"),
    [
        ("other", {"reach": Reach.COMPANY, "company": "kauppa"}, "bulk"),
        ("other", {"reach": Reach.PARTNER, "partner": "matkat"}, "bulk"),
        ("other", {}, "express"),
        ("other", {"reach": Reach.COMPANY, "company": "sahko"}, "express"),
        ("own", {"reach": Reach.COMPANY, "company": "kauppa"}, "bulk"),
        ("own", {"reach": Reach.COMPANY, "company": "sahko"}, "express"),
    ],
)
async def test_the_lane_of_a_record_tells_nothing_of_what_others_alone_were_told(
    world: ConsentsWorld, whose: str, said: dict[str, Any], lane: str
) -> None:
    """A new address of somebody who is restricted hurries, as others may have it: where the company is told of that."""
    one, other = await linked(world)
    everything = world.record(other, bound_by=(one.id,)).points
    await world.know(other, bound_by=(one.id,), points=everything[:1])
    await world.decide(world.by_id(one if whose == "other" else other), **said)
    await world.lanes()
    await world.know(other, bound_by=(one.id,), points=everything)
    marks = "SELECT DISTINCT lane FROM marks WHERE family = 'company.sahko'"
    assert [row["lane"] for row in await world.pool.fetch(marks)] == [lane]


@pytest.mark.parametrize("link_first", [True, False])
async def test_a_no_from_before_binds_when_the_link_or_the_record_comes(
    world: ConsentsWorld, link_first: bool
) -> None:
    one, other = Someone(("kauppa",)), Someone(("sahko",))
    await world.decide(world.by_number(one))
    if not link_first:
        await world.know(one)
    await world.know(other, bound_by=(one.id,))
    await world.know(one)
    assert await world.allowed(other, "company.sahko") == set()
    await world.know(other)
    assert await world.allowed(other, "company.sahko") == {"phone", "post"}, "the register parted them"


async def test_a_bare_address_a_yes_and_a_second_step_do_not_travel(world: ConsentsWorld) -> None:
    one, other = await linked(world)
    third = Someone(("kauppa",))
    await world.know(third, bound_by=(other.id,))
    await world.decide(world.by_phone(one.phone))
    await world.consent(one, Channel.EMAIL)
    assert await world.allowed(other, "company.sahko") == {"phone", "post"}
    await world.decide(world.by_id(one))
    assert await world.allowed(third) == {"phone", "post"}
    await world.decide(world.by_id(other))
    assert await world.allowed(third) == set()


async def test_the_other_record_frees_itself_by_citing_and_no_more(world: ConsentsWorld) -> None:
    one, other = await linked(world)
    ban = (await world.decide(world.by_id(one))).decision.id
    post = EVERYTHING | {"channels": (Channel.POST,)}
    await world.decide(world.by_id(other), Act.LIFTING, lifts=(ban,), **post)
    assert await world.allowed(other, "company.sahko") == {"post"}
    assert await world.allowed(one) == set()


async def test_what_the_person_lifts_where_it_was_said_is_lifted_where_it_binds(world: ConsentsWorld) -> None:
    one, other = await linked(world)
    stranger = Someone(("sahko",))
    ban = (await world.decide(world.by_id(one))).decision.id
    await world.know(stranger)
    await world.know(other, bound_by=(one.id, stranger.id))
    await world.decide(world.by_id(stranger), Act.LIFTING, lifts=(ban,), **EVERYTHING)
    assert await world.allowed(other, "company.sahko") == set(), "somebody else's yes"
    await world.decide(world.by_id(one), Act.LIFTING, lifts=(ban,), **EVERYTHING)
    assert await world.allowed(other, "company.sahko") == {"phone", "post"}


async def test_whoever_is_merged_with_either_is_the_same_person(world: ConsentsWorld) -> None:
    one, other, into, gone = (Someone((c,)) for c in ("kauppa", "sahko", "kauppa", "sahko"))
    await world.know(one, into, gone)
    await world.know(other, bound_by=(one.id,))
    await world.know(one, alias_of=into.id, status="alias")
    await world.know(gone, alias_of=other.id, status="alias")
    await world.decide(world.by_id(into))
    assert await world.allowed(other, "company.sahko") == await world.allowed(gone, "company.sahko") == set()
    assert await world.stale() == []


async def test_a_contact_persons_role_is_bound_by_the_person_also_when_it_comes_later(
    world: ConsentsWorld,
) -> None:
    person, firm, role = Someone(("kauppa",)), Someone(("sahko",)), Someone(("sahko",))
    await world.know(person)
    await world.know(firm, recipient="legal")
    await world.decide(world.by_id(person))
    duty = {"recipient": "contact", "organisation": firm.id, "duties": ("electricity",)}
    await world.know(role, **duty)
    assert Channel.EMAIL in await world.allowed(role, "company.sahko")
    await world.know(role, bound_by=(person.id,), **duty)
    assert await world.allowed(role, "company.sahko") == set()
    await world.decide(world.by_id(role))
    assert await world.allowed(person) == set(), "it never goes back"


async def shown(world: ConsentsWorld, context: Context, *, with_link: bool, company: str = "kauppa") -> Any:
    """All that a company is told of its own ban. `company`: whose customer the other record is."""
    one, other = Someone(("kauppa",)), Someone((company,))
    await world.know(one)
    await world.know(other, bound_by=(one.id,) if with_link else ())
    outcome = await world.decide(
        NamedSubject.of_id("company.kauppa", world.key("company.kauppa", one)), party="company.kauppa"
    )
    told = receipt(context, outcome, "kauppa")
    where = await locate(context, outcome.decision.id, "company.kauppa")
    return (
        told.status,
        told.affected.records,
        len(told.affected.versions),
        told.binds,
        [(x.subscriber, x.stage, x.records) for x in where],
    )


@pytest.mark.parametrize("company", ["kauppa", "sahko"])
async def test_the_company_that_acts_is_told_the_same_with_and_without_the_other_record(
    world: ConsentsWorld, context: Context, company: str
) -> None:
    without = await shown(world, context, with_link=False, company=company)
    assert await shown(world, context, with_link=True, company=company) == without
    assert without[:2] == ("in_force", 1)


async def test_a_strangers_ban_is_pending_though_a_customer_of_the_company_may_be_the_same_person(
    world: ConsentsWorld, context: Context
) -> None:
    stranger, own = Someone(("sahko",)), Someone(("kauppa",))
    await world.know(stranger)
    await world.know(own, bound_by=(stranger.id,))
    outcome = await world.decide(NamedSubject.of_customer(stranger.id), party="company.kauppa")
    assert receipt(context, outcome, "kauppa").status == "pending"
    assert await world.allowed(own) == set()
    with pytest.raises(DecisionError, match="subject"):
        await world.decide(
            NamedSubject.of_customer(stranger.id),
            Act.CONSENT,
            party="company.kauppa",
            reach=Reach.COMPANY,
            company="kauppa",
            purposes=(Purpose.OWN_MARKETING,),
            channels=(Channel.EMAIL,),
        )


async def test_the_group_is_shown_the_link_and_counts_every_record(
    world: ConsentsWorld, context: Context
) -> None:
    one, other = await linked(world)
    ban = await world.decide(world.by_id(one))
    where = await locate(context, ban.decision.id, None)
    assert {x.party for x in where} == {"company.kauppa", "company.sahko"}
    found = await explain(context, other.id, None)
    assert found.permissions.by_link == {ban.decision.id}
    mine = await explain(context, one.id, None)
    assert mine.permissions.by_link == set()


async def test_a_company_sees_its_customers_denial_by_its_own_reference_and_can_cite_it(
    world: ConsentsWorld, context: Context
) -> None:
    one, other = await linked(world)
    ban = (await world.decide(world.by_id(one))).decision.id
    found = await explain(context, other.id, "sahko")
    assert found.restrictions == {ban}
    assert {i for v in found.cells for i in v.ruling.decisions} == {ban}
    own = {"reach": Reach.COMPANY, "company": "sahko", "party": "company.sahko"}
    yes = own | {"purposes": (Purpose.OWN_MARKETING,), "channels": (Channel.PHONE,)}
    await world.decide(
        NamedSubject.of_id("company.sahko", world.key("company.sahko", other)),
        Act.LIFTING,
        lifts=(world.keys.pairwise("company.sahko", ban),),
        **yes,
    )
    assert await world.allowed(other, "company.sahko") == {"phone"}


async def test_a_company_that_lifts_at_its_own_customer_loosens_nothing_at_the_others(
    world: ConsentsWorld,
) -> None:
    one, other = await linked(world)
    ban = (await world.decide(world.by_id(one))).decision.id
    yes = {"reach": Reach.COMPANY, "company": "kauppa", "party": "company.kauppa"}
    await world.decide(
        NamedSubject.of_id("company.kauppa", world.key("company.kauppa", one)),
        Act.LIFTING,
        lifts=(ban,),
        purposes=(Purpose.OWN_MARKETING,),
        channels=(Channel.PHONE,),
        **yes,
    )
    assert await world.allowed(one) == {"phone"}
    assert await world.allowed(other, "company.sahko") == set()


async def test_an_unknown_other_is_known_by_its_id_alone(world: ConsentsWorld) -> None:
    nobody: UUID = uuid4()
    other = Someone(("sahko",))
    await world.know(other, bound_by=(nobody,))
    await world.decide(NamedSubject.of_customer(nobody))
    assert await world.allowed(other, "company.sahko") == set()
