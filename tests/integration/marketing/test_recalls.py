"""A ban that comes after the audience takes the person out again, and nothing brings them back by itself."""

import pytest

from kielto.events.digests import digest_of
from kielto.events.topics import audiences
from kielto.events.versions import Version
from kielto.events.words import PointKind, Status
from kielto.service.database.pool import Pool, transaction
from kielto.service.support.crypto_keys import Keys
from services.marketing import projections
from services.marketing.store import recipients
from services.marketing.use_cases.build_audience import address_next
from services.marketing.use_cases.campaigns import close, launch
from services.marketing.use_cases.recall import recall
from tests.integration.marketing.world import (
    NOW,
    OUR_EMAIL,
    OWN_EMAIL,
    OWN_POST,
    THEIR_POST,
    actions,
    customer,
    draft,
    know,
    launched,
    permissions,
    person,
    said,
    standing,
)

KAUPPA, MATKAT = audiences("company.kauppa"), audiences("partner.matkat")


async def test_a_ban_recalls_and_its_lifting_does_not_bring_back(pool: Pool, keys: Keys) -> None:
    banned, other = person(), person()
    for who in (banned, other):
        await know(pool, customer(keys, who), permissions(who, 1, [OWN_EMAIL, OWN_POST]))
    campaign = await launched(pool, keys, OWN_EMAIL)
    await know(pool, permissions(banned, 2, [OWN_POST]))
    await know(pool, permissions(banned, 2, [OWN_POST]))
    subject = keys.pairwise("company.kauppa", banned.id)
    messages = await said(pool, KAUPPA)
    assert actions(messages, subject) == ["address", "recall"]
    point = keys.point("company.kauppa", digest_of(PointKind.EMAIL, banned.address))
    assert [p["point"] for p in messages[-1]["points"]] == [point]
    assert await standing(pool, campaign) == {other.id}

    await know(pool, permissions(banned, 3, [OWN_EMAIL, OWN_POST]))
    await launch(pool, campaign.id, NOW)
    assert not await address_next(pool, keys, NOW)
    assert actions(await said(pool, KAUPPA), subject) == ["address", "recall"]
    assert await standing(pool, campaign) == {other.id}


async def test_a_walk_that_comes_by_again_adds_nobody_again(pool: Pool, keys: Keys) -> None:
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    await know(pool, permissions(who, 2))
    await know(pool, permissions(who, 3, [OWN_POST]))
    await pool.execute("UPDATE campaigns SET state = 'launching', cursor = NULL")
    while await address_next(pool, keys, NOW):
        pass
    assert await standing(pool, campaign) == set()
    assert actions(await said(pool, KAUPPA), keys.pairwise("company.kauppa", who.id)) == [
        "address",
        "recall",
    ]


async def test_only_campaigns_that_lost_their_ground_are_recalled(pool: Pool, keys: Keys) -> None:
    """An opt-out from partners leaves own marketing; the partner that got data is told on its own topic."""
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OWN_EMAIL, OWN_POST, OUR_EMAIL, THEIR_POST]))
    own, ours, theirs = [await launched(pool, keys, aim) for aim in (OWN_EMAIL, OUR_EMAIL, THEIR_POST)]
    await know(pool, permissions(who, 2, [OWN_EMAIL, OWN_POST]))
    assert await standing(pool, own) == {who.id}
    assert await standing(pool, ours) == await standing(pool, theirs) == set()
    assert actions(await said(pool, MATKAT), keys.pairwise("partner.matkat", who.id)) == ["address", "recall"]
    recalled = [m["campaign"] for m in await said(pool, KAUPPA) if m["action"] == "recall"]
    assert recalled == [str(ours.id)]


async def test_one_address_of_two_is_taken_back(pool: Pool, keys: Keys) -> None:
    one, other = person(), person()
    both = customer(keys, one).model_copy(
        update={"points": (*customer(keys, one).points, *customer(keys, other).points)}
    )
    first, second = permissions(one, 1, [OWN_EMAIL]), permissions(other, 1, [OWN_EMAIL])
    company = first.companies[0].model_copy(
        update={"points": (*first.companies[0].points, *second.companies[0].points)}
    )
    await know(pool, both, first.model_copy(update={"companies": (company,)}))
    campaign = await launched(pool, keys, OWN_EMAIL)
    await know(pool, permissions(one, 2, [OWN_EMAIL]))
    address, taken = await said(pool, KAUPPA)
    gone = keys.point("company.kauppa", digest_of(PointKind.EMAIL, other.address))
    assert len(address["points"]) == 2
    assert [p["point"] for p in taken["points"]] == [gone]
    async with pool.acquire() as conn:
        counts = await recipients.counts(conn, campaign.id)
    assert (counts.addressed, counts.recalled) == (1, 0)
    await know(pool, permissions(one, 3))
    async with pool.acquire() as conn:
        counts = await recipients.counts(conn, campaign.id)
    assert (counts.addressed, counts.recalled) == (1, 1)


@pytest.mark.parametrize("topic", ["customers", "consents"])
async def test_what_cannot_be_read_recalls(pool: Pool, keys: Keys, topic: str) -> None:
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    deny = projections.deny_customer if topic == "customers" else projections.deny_permissions
    async with transaction(pool) as conn:
        await recall(conn, await deny(conn, who.id, Version(1, 2)), NOW, NOW)
    assert await standing(pool, campaign) == set()


async def test_an_erased_person_is_recalled(pool: Pool, keys: Keys) -> None:
    by_customers, by_consents = person(), person()
    for who in (by_customers, by_consents):
        await know(pool, customer(keys, who), permissions(who, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    await know(pool, customer(keys, by_customers, 2, Status.ERASED))
    assert await standing(pool, campaign) == {by_consents.id}
    await know(pool, permissions(by_consents, 2, status=Status.ERASED))
    assert await standing(pool, campaign) == set()


async def test_a_merge_that_denies_nothing_recalls_nobody(pool: Pool, keys: Keys) -> None:
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    await know(
        pool, customer(keys, who, 2, Status.ALIAS), permissions(who, 2, [OWN_POST], status=Status.ALIAS)
    )
    assert await standing(pool, campaign) == {who.id}
    await know(pool, permissions(who, 3, status=Status.ALIAS))
    assert await standing(pool, campaign) == set()


async def test_a_closed_campaign_is_left_alone(pool: Pool, keys: Keys) -> None:
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    await close(pool, campaign.id, NOW)
    await know(pool, permissions(who, 2))
    assert actions(await said(pool, KAUPPA), keys.pairwise("company.kauppa", who.id)) == ["address"]


async def test_closing_stops_a_launch_and_an_open_campaign_addresses_nobody(pool: Pool, keys: Keys) -> None:
    people = [person() for _ in range(10)]
    await know(pool, *(customer(keys, who) for who in people))
    await know(pool, *(permissions(who, 1, [OWN_POST]) for who in people))
    campaign = await draft(pool, OWN_POST)
    assert not await address_next(pool, keys, NOW)
    await launch(pool, campaign.id, NOW)
    assert await address_next(pool, keys, NOW, chunk=4)
    await close(pool, campaign.id, NOW)
    assert not await address_next(pool, keys, NOW, chunk=4)
    assert len(await standing(pool, campaign)) == 4
