"""What the parties report is stored once, told to our own services, and refused where it cannot be theirs."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.events.messages import Report
from kielto.events.topics import MARKETING_EVENTS
from kielto.events.words import Channel
from kielto.service.database.pool import Pool, transaction
from kielto.service.inbox.handlers import PermanentError
from kielto.service.support.crypto_keys import Keys
from services.marketing.store import recipients
from services.marketing.use_cases.report import take_report
from tests.integration.marketing.world import (
    NOW,
    OWN_POST,
    THEIR_POST,
    customer,
    know,
    launched,
    permissions,
    person,
    said,
)


def report(campaign: UUID, subject: str, **fields: Any) -> Report:
    default = {"id": uuid4(), "what": "delivery", "channel": Channel.POST, "at": NOW}
    return Report(**{**default, "campaign": campaign, "subject": subject, **fields})


async def take(pool: Pool, keys: Keys, party: str, *reports: Report) -> None:
    async with transaction(pool) as conn:
        for one in reports:
            await take_report(conn, keys, party, one)


async def test_a_report_read_twice_is_one(pool: Pool, keys: Keys) -> None:
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    subject = keys.pairwise("company.kauppa", who.id)
    delivery, response = report(campaign.id, subject), report(campaign.id, subject, what="response")
    await take(pool, keys, "company.kauppa", delivery, response)
    await take(pool, keys, "company.kauppa", delivery)
    events = await said(pool, MARKETING_EVENTS)
    assert [(e["what"], e["customer"], e["_key"]) for e in events] == [
        ("delivery", str(who.id), str(who.id)),
        ("response", str(who.id), str(who.id)),
    ]
    async with pool.acquire() as conn:
        counts = await recipients.counts(conn, campaign.id)
    assert (counts.delivered, counts.responded) == (1, 1)


async def test_who_sends_reports_and_nobody_else(pool: Pool, keys: Keys) -> None:
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [THEIR_POST]))
    campaign = await launched(pool, keys, THEIR_POST)
    ours, theirs = (keys.pairwise(party, who.id) for party in ("company.kauppa", "partner.matkat"))
    with pytest.raises(PermanentError, match="campaign"):
        await take(pool, keys, "company.kauppa", report(campaign.id, ours))
    await take(pool, keys, "partner.matkat", report(campaign.id, theirs))
    assert [e["what"] for e in await said(pool, MARKETING_EVENTS)] == ["disclosure", "delivery"]


async def test_what_can_never_be_taken_in_is_permanent(pool: Pool, keys: Keys) -> None:
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    subject = keys.pairwise("company.kauppa", who.id)
    far = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
    for bad, reason in (
        (report(uuid4(), subject), "campaign"),
        (report(campaign.id, "f" * 64, what="response"), "subject"),
        (report(campaign.id, "f" * 64), "subject"),
        (report(campaign.id, keys.pairwise("company.liittyma", who.id)), "subject"),
        (report(campaign.id, subject, point="\0"), "point"),
        (report(campaign.id, subject, at=far), "report"),
    ):
        with pytest.raises(PermanentError, match=reason):
            await take(pool, keys, "company.kauppa", bad)
    assert await said(pool, MARKETING_EVENTS) == []
    good = report(campaign.id, subject, point="a" * 64, at=datetime(2026, 1, 1, tzinfo=UTC))
    await take(pool, keys, "company.kauppa", good)


async def test_a_delivery_to_somebody_never_addressed_is_told_by_what_the_party_calls_them(
    pool: Pool, keys: Keys
) -> None:
    """Whoever was banned before the launch is no recipient; that they got it all the same must not end here."""
    addressed, banned = person(), person()
    await know(pool, customer(keys, addressed), permissions(addressed, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    subject = keys.pairwise("company.kauppa", banned.id)
    await take(pool, keys, "company.kauppa", report(campaign.id, subject, point="a" * 64))
    (event,) = await said(pool, MARKETING_EVENTS)
    assert (event["party"], event["subject"], event["_key"]) == ("company.kauppa", subject, subject)
    assert (event["campaign"], event["purpose"]) == (str(campaign.id), "own_marketing")
    assert event["point"] == "a" * 64


async def test_the_address_that_was_used_is_told_as_it_was_reported(pool: Pool, keys: Keys) -> None:
    """Also one that the campaign was never given: it may have been banned before the launch."""
    who = person()
    await know(pool, customer(keys, who), permissions(who, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    subject = keys.pairwise("company.kauppa", who.id)
    for point in ("a" * 64, None):
        await take(pool, keys, "company.kauppa", report(campaign.id, subject, point=point))
    assert [e.get("point") for e in await said(pool, MARKETING_EVENTS)] == ["a" * 64, None]
