"""Facts work as decisions do: death, an ended customership, a merge, a record nobody can read, a disclosure."""

import pytest

from kielto.events.records import SaleOf
from kielto.events.words import Act, Recipient
from tests.integration.consents.world import ConsentsWorld, Someone, erased


@pytest.mark.parametrize("fact", [{"deceased": True}, {"minor": True}, {"active": ()}])
async def test_a_restricting_fact_travels_on_the_express_lane(world: ConsentsWorld, fact: dict) -> None:  # type: ignore[type-arg]
    who = Someone()
    await world.know(who)
    await world.lanes()
    await world.know(who, **fact)
    assert await world.allowed(who) == set()
    assert set(await world.lanes()) == {"express"}


async def test_an_older_record_changes_nothing(world: ConsentsWorld) -> None:
    who = Someone()
    old = world.record(who)
    await world.know(who, deceased=True)
    await world.take_in([old])
    assert await world.allowed(who) == set()
    assert await world.version(who) == 1


async def test_an_unreadable_record_denies_until_the_same_version_is_read(world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    second = world.record(who)
    await world.deny(who, 2)
    assert await world.allowed(who) == set()
    await world.take_in([second])
    assert await world.allowed(who) == {"phone", "post"}
    await world.deny(who, 2)
    assert await world.allowed(who) == {"phone", "post"}, "the version is held"


async def test_somebody_of_whom_nothing_was_ever_readable(world: ConsentsWorld) -> None:
    who = Someone()
    await world.deny(who, 3)
    assert await world.body(who, "consents") is not None
    await world.know(who)
    assert await world.allowed(who) == set(), "an older record than the one that could not be read"


async def test_merged_customers_share_every_ban(world: ConsentsWorld) -> None:
    survivor, merged = Someone(), Someone(("sahko",))
    await world.know(survivor, merged)
    ban = await world.decide(world.by_id(merged))
    await world.lanes()
    await world.know(merged, alias_of=survivor.id, status="alias")
    assert await world.allowed(survivor) == set()
    assert await world.restrictions(survivor) == {ban.decision.id}
    body = await world.body(merged, "company.sahko")
    assert body is not None
    assert body["status"] == "alias"
    bound = await world.pool.fetch(
        "SELECT family, key FROM decision_records WHERE decision = $1", ban.decision.id
    )
    assert ("company.kauppa", world.key("company.kauppa", survivor)) in {tuple(row) for row in bound}


async def test_a_survivor_that_is_not_known_yet(world: ConsentsWorld) -> None:
    survivor, merged = Someone(), Someone()
    await world.know(merged, alias_of=survivor.id, status="alias")
    assert await world.allowed(merged) == set()
    await world.know(survivor)
    assert await world.allowed(merged) == {"phone", "post"}


async def test_an_organisations_ban_binds_its_contact_persons(world: ConsentsWorld) -> None:
    organisation, contact = Someone(), Someone()
    await world.know(contact, recipient=Recipient.CONTACT, organisation=organisation.id)
    assert await world.allowed(contact) == {"phone", "post"}
    ban = await world.decide(world.by_id(organisation))
    assert await world.allowed(contact) == set()
    await world.know(organisation, recipient=Recipient.LEGAL)
    assert await world.allowed(organisation) == set()
    await world.decide(world.by_id(organisation), Act.LIFTING, lifts=(ban.decision.id,))
    assert await world.allowed(contact) == {"phone", "post"}


async def test_the_erased_keep_a_record_that_says_nothing_else(world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    await world.lanes()
    await world.take_in([erased(who)])
    body = await world.body(who)
    assert body == {"status": "erased", "subject": world.key("company.kauppa", who)}
    assert set(await world.lanes()) == {"express"}


async def test_a_partner_has_only_whom_it_was_told_of(world: ConsentsWorld) -> None:
    who, other = Someone(), Someone()
    await world.know(who, other)
    await world.disclose(who)
    assert await world.allowed(who, "partner.matkat") == {"phone", "post"}
    assert await world.body(other, "partner.matkat") is None
    await world.lanes()
    await world.decide(world.by_id(who), Act.OPT_OUT)
    assert await world.allowed(who, "partner.matkat") == set()
    assert await world.allowed(who) == {"phone", "post"}, "own marketing stays"
    body = await world.body(who)
    assert body is not None
    assert {a["purpose"] for at in body["points"] for a in at["allow"]} == {"own_marketing"}


async def test_a_disclosure_that_comes_before_the_customer(world: ConsentsWorld) -> None:
    who = Someone()
    await world.disclose(who)
    await world.know(who)
    await world.disclose(who)
    assert await world.allowed(who, "partner.matkat") == {"phone", "post"}
    assert await world.version(who, "partner.matkat") == 1


async def test_a_sale_gives_the_soft_opt_in_and_an_impossible_date_does_not(world: ConsentsWorld) -> None:
    who = Someone()
    record = world.record(who)
    email = record.points[1]

    def sold(day: str) -> object:
        sale = SaleOf(seller="kauppa", date=day, product_group="groceries", ban_offered=True)
        return (email.model_copy(update={"sales": (sale,)}),)

    await world.know(who, points=sold("2026-13-45"))
    assert await world.allowed(who) == set()
    await world.know(who, points=sold("2026-10-04"))
    assert await world.allowed(who) == {"email"}


async def test_the_record_of_a_company_names_nobody_to_another(world: ConsentsWorld) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    one, other = await world.body(who), await world.body(who, "company.sahko")
    assert one is not None
    assert other is not None
    hashes = [
        {at["point"] for at in body["points"]} | set(body["numbers"]) | {body["subject"]}
        for body in (one, other)
    ]
    assert hashes[0].isdisjoint(hashes[1])
    assert str(who.id) not in str(one)
    assert str(who.post) not in str(one)
