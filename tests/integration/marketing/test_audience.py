"""Whom a launch addresses, with which ids, and what it says of a disclosure."""

import random
from uuid import uuid4

import pytest

from kielto.events.digests import digest_of
from kielto.events.records import Allow, AllowedPoint, CompanyPermissions, CustomerPermissions
from kielto.events.topics import MARKETING_EVENTS, audiences
from kielto.events.words import Channel, Mode, PointKind, Purpose, Status
from kielto.service.database.pool import Pool
from kielto.service.support.crypto_keys import Keys
from services.marketing.model.campaign import Aim, CampaignState
from services.marketing.store import campaigns, recipients
from tests.integration.marketing.world import (
    NOW,
    OUR_EMAIL,
    OWN_EMAIL,
    OWN_POST,
    THEIR_POST,
    MarketedPerson,
    customer,
    know,
    launched,
    permissions,
    person,
    said,
    standing,
)

KAUPPA, MATKAT = audiences("company.kauppa"), audiences("partner.matkat")


async def test_who_permits_it_is_addressed_by_the_companys_own_ids(pool: Pool, keys: Keys) -> None:
    yes, no = person(), person()
    await know(pool, customer(keys, yes), permissions(yes, 1, [OWN_EMAIL, OWN_POST]))
    await know(pool, customer(keys, no), permissions(no, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_EMAIL)
    (message,) = await said(pool, KAUPPA)
    point = keys.point("company.kauppa", digest_of(PointKind.EMAIL, yes.address))
    assert message["_key"] == message["subject"] == keys.pairwise("company.kauppa", yes.id)
    assert [p["point"] for p in message["points"]] == [point]
    assert (message["action"], message["campaign"]) == ("address", str(campaign.id))
    assert await standing(pool, campaign) == {yes.id}


async def test_a_postal_address_is_named_by_its_pairwise_id(pool: Pool, keys: Keys) -> None:
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OWN_POST]))
    await launched(pool, keys, OWN_POST)
    (message,) = await said(pool, KAUPPA)
    assert [p["point"] for p in message["points"]] == [keys.pairwise("company.kauppa", who.post)]


async def test_a_point_that_the_company_does_not_have_is_not_given_to_it(pool: Pool, keys: Keys) -> None:
    """Whatever an older permission says: customers' record is newer."""
    theirs, others = person(), person()
    for who, holders in ((theirs, ("kauppa", "sahko")), (others, ("sahko",))):
        record = customer(keys, who)
        points = tuple(p.model_copy(update={"holders": holders}) for p in record.points)
        await know(pool, record.model_copy(update={"points": points}), permissions(who, 1, [OWN_EMAIL]))
    campaign = await launched(pool, keys, OWN_EMAIL)
    assert await standing(pool, campaign) == {theirs.id}
    record = customer(keys, theirs, 2)
    points = tuple(p.model_copy(update={"holders": ("sahko",)}) for p in record.points)
    await know(pool, record.model_copy(update={"points": points}))
    assert await standing(pool, campaign) == set()


async def test_what_the_partner_sends_is_told_to_the_partner_and_put_on_record(
    pool: Pool, keys: Keys
) -> None:
    yes, no = person(), person()
    await know(pool, customer(keys, yes), permissions(yes, 1, [THEIR_POST]))
    await know(pool, customer(keys, no), permissions(no, 1, [OUR_EMAIL, OWN_POST]))
    campaign = await launched(pool, keys, THEIR_POST)
    assert await said(pool, KAUPPA) == []
    (message,) = await said(pool, MATKAT)
    assert message["subject"] == keys.pairwise("partner.matkat", yes.id)
    (event,) = await said(pool, MARKETING_EVENTS)
    assert event["_key"] == event["customer"] == str(yes.id)
    assert (event["what"], event["company"], event["partner"]) == ("disclosure", "kauppa", "matkat")
    assert event["campaign"] == str(campaign.id)


async def test_what_we_send_for_a_partner_discloses_nothing(pool: Pool, keys: Keys) -> None:
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OUR_EMAIL]))
    await launched(pool, keys, OUR_EMAIL)
    assert len(await said(pool, KAUPPA)) == 1
    assert await said(pool, MARKETING_EVENTS) == []


@pytest.mark.parametrize("status", [Status.ALIAS, Status.ERASED])
async def test_only_the_living_are_addressed(pool: Pool, keys: Keys, status: Status) -> None:
    """Who was merged is addressed as the survivor, or the same person would be written to twice."""
    by_customers, by_consents, unknown = person(), person(), person()
    await know(pool, customer(keys, by_customers, status=status), permissions(by_customers, 1, [OWN_POST]))
    await know(pool, customer(keys, by_consents), permissions(by_consents, 1, [OWN_POST], status=status))
    await know(pool, permissions(unknown, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    assert await standing(pool, campaign) == set()
    assert await said(pool, KAUPPA) == []


async def test_a_digest_that_cannot_be_opened_leaves_only_its_person_out(pool: Pool, keys: Keys) -> None:
    good, bad = person(), person()
    await know(pool, customer(keys, good), permissions(good, 1, [OWN_EMAIL]))
    await know(pool, customer(keys, bad), permissions(bad, 1, [OWN_EMAIL]))
    await pool.execute(
        "UPDATE people SET points = jsonb_build_object($2::text, repeat('A', 64)) WHERE id = $1",
        bad.id,
        str(bad.email),
    )
    campaign = await launched(pool, keys, OWN_EMAIL)
    assert await standing(pool, campaign) == {good.id}


async def test_the_audience_equals_a_naive_reading_of_the_records(pool: Pool, keys: Keys) -> None:
    """Random permissions of 300 people, read word for word in Python, against the walk in chunks of 37."""
    dice = random.Random(20)
    people = [person() for _ in range(300)]
    records = [(who, _random_permissions(dice, who)) for who in people]
    await know(pool, *(customer(keys, who) for who in people))
    await know(pool, *(record for _, record in records))
    for aim in (OWN_EMAIL, OWN_POST, OUR_EMAIL, THEIR_POST, Aim("kauppa", *_PARTNER_GROUP)):
        campaign = await launched(pool, keys, aim, chunk=37)
        expected = {who.id for who, record in records if _naively(who, record, aim)}
        assert await standing(pool, campaign) == expected, aim
        assert 0 < len(expected) < len(people), aim
        async with pool.acquire() as conn:
            kept = await campaigns.get(conn, campaign.id)
            counts = await recipients.counts(conn, campaign.id)
        assert kept is not None
        assert (kept.state, kept.seen) == (CampaignState.LAUNCHED, kept.candidates)
        assert (counts.addressed, counts.recalled) == (len(expected), 0)


async def test_nobody_is_left_out_or_said_twice_over_the_pages(pool: Pool, keys: Keys) -> None:
    people = [person() for _ in range(25)]
    await know(pool, *(customer(keys, who) for who in people))
    await know(pool, *(permissions(who, 1, [OWN_POST]) for who in people))
    campaign = await launched(pool, keys, OWN_POST, chunk=7)
    await know(pool, permissions(people[3], 2))
    entries, after = [], None
    async with pool.acquire() as conn:
        while page := await recipients.page(conn, campaign.id, after, 10):
            entries += page
            after = page[-1].customer
    assert [e.customer for e in entries] == sorted(who.id for who in people)
    assert [e.customer for e in entries if not e.standing] == [people[3].id]


_PARTNER_GROUP = (Purpose.PARTNER_MARKETING, Channel.EMAIL, "groceries", "matkat", Mode.WE_SEND)


def _random_permissions(dice: random.Random, who: MarketedPerson) -> CustomerPermissions:
    points = [
        AllowedPoint(
            point=str(dice.choice([who.email, who.post, uuid4()])),
            channel=dice.choice(["email", "post", "sms", "smoke_signals"]),
            allow=tuple(_random_allow(dice) for _ in range(dice.randrange(3))),
        )
        for _ in range(dice.randrange(6))
    ]
    companies = [
        CompanyPermissions(company=company, points=tuple(points)) for company in ("kauppa", "liittyma")
    ]
    kept = tuple(c for c in companies if dice.random() < 0.8)
    return CustomerPermissions(version="1.1", subject=who.id, companies=kept, changed_at=NOW)


def _random_allow(dice: random.Random) -> Allow:
    groups = dice.choice([None, None, (), ("groceries",), ("household", "groceries"), ("household",)])
    if dice.random() < 0.5:
        return Allow(purpose="own_marketing", product_groups=groups)
    return Allow(
        purpose="partner_marketing",
        partner=dice.choice(["matkat", "matkat", None]),
        mode=dice.choice(["we_send", "partner_sends", None]),
        product_groups=groups,
    )


def _naively(who: MarketedPerson, record: CustomerPermissions, aim: Aim) -> bool:
    """Whether any point that the customer really has permits the aim. Points of nobody were mixed in."""
    for company in record.companies:
        for point in company.points:
            if company.company != aim.company or point.channel != aim.channel:
                continue
            if point.point not in (str(who.email), str(who.post)):
                continue
            if any(_permits(it, aim) for it in point.allow):
                return True
    return False


def _permits(it: Allow, aim: Aim) -> bool:
    if (it.purpose, it.partner, it.mode) != (aim.purpose, aim.partner, aim.mode):
        return False
    return it.product_groups is None or aim.product_group in it.product_groups
