"""A company or partner leaves: its campaigns end, everybody in them is recalled, and nobody else's launch waits."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from deploy.local.paths import ROOT
from kielto.events.topics import audiences
from kielto.group import Group, load
from kielto.service.database.pool import Pool
from kielto.service.outbox import parties
from kielto.service.support.crypto_keys import KeyFile, Keys
from services.marketing.model.campaign import Aim, CampaignState, faults
from services.marketing.store import campaigns
from services.marketing.use_cases.build_audience import address_next
from services.marketing.use_cases.campaigns import launch
from services.marketing.use_cases.recall import end_next
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

GROUP = load(ROOT / "group.yaml")


def without(*gone: str) -> Group:
    given = GROUP.model_dump()
    given["revision"] += 1
    given["companies"] = [c for c in given["companies"] if f"company.{c['id']}" not in gone]
    ids = {c["id"] for c in given["companies"]}
    for partner in given["partners"]:
        partner["of"] = [c for c in partner["of"] if c in ids]
    given["partners"] = [p for p in given["partners"] if p["of"] and f"partner.{p['id']}" not in gone]
    there = {f"company.{c}" for c in ids} | {f"partner.{p['id']}" for p in given["partners"]}
    given["processors"] = []
    given["subscribers"] = [s for s in given["subscribers"] if s["party"] in there]
    return Group.model_validate(given)


def separated() -> Group:
    """The partner stays in the group and works for kauppa no more."""
    given = GROUP.model_dump()
    given["revision"] += 1
    for partner in given["partners"]:
        partner["of"] = [c for c in partner["of"] if c != "kauppa"]
    return Group.model_validate(given)


async def ended(pool: Pool, group: Group, now: datetime = NOW) -> None:
    while await end_next(pool, group, now):
        pass


# Who leaves, which campaigns end, and who is told of the recalls.
LEAVERS: dict[str, tuple[Group, set[Aim], set[str]]] = {
    "the company": (
        without("company.kauppa"),
        {OWN_EMAIL, OWN_POST, THEIR_POST, OUR_EMAIL},
        {"partner.matkat"},
    ),
    "the partner": (without("partner.matkat"), {THEIR_POST, OUR_EMAIL}, {"company.kauppa"}),
    "the relation": (separated(), {THEIR_POST, OUR_EMAIL}, {"company.kauppa", "partner.matkat"}),
    "another company": (without("company.sahko"), set(), set()),
}


@pytest.mark.parametrize("who", LEAVERS)
async def test_campaigns_end_and_are_recalled(pool: Pool, keys: Keys, who: str) -> None:
    group, ending, told = LEAVERS[who]
    aims = [OWN_EMAIL, OWN_POST, THEIR_POST, OUR_EMAIL]
    someone = person()
    await parties.note(pool, GROUP, keys)
    await know(pool, customer(keys, someone), permissions(someone, 1, aims))
    running = {aim: await launched(pool, keys, aim) for aim in aims}
    drafts = {aim: await draft(pool, aim) for aim in aims}
    await pool.execute("DELETE FROM reports")
    left = await parties.note(pool, group, keys)
    await ended(pool, group)
    for aim in aims:
        for campaign in (running[aim], drafts[aim]):
            async with pool.acquire() as conn:
                found = await campaigns.get(conn, campaign.id)
            assert found is not None
            assert (found.state is CampaignState.CLOSED) == (aim in ending), aim
        assert bool(await standing(pool, running[aim])) == (aim not in ending)
    for party in ("company.kauppa", "partner.matkat"):
        messages = await said(pool, audiences(party))
        assert (actions(messages, keys.pairwise(party, someone.id)) != []) == (party in told - left)


@pytest.mark.parametrize("gone", ["company.kauppa", "partner.matkat"])
async def test_a_launch_under_way_keeps_no_other_from_going_on(pool: Pool, keys: Keys, gone: str) -> None:
    """Its keys are gone, too: it could not name anybody."""
    someone = person()
    await know(pool, customer(keys, someone), permissions(someone, 1, [THEIR_POST]))
    first = await draft(pool, THEIR_POST)
    await launch(pool, first.id, NOW)
    other = await draft(pool, Aim("liittyma", OWN_POST.purpose, OWN_POST.channel, "mobile"))
    await launch(pool, other.id, NOW)
    given = keys._file.model_dump()
    del given["id_keys"][gone], given["point_keys"][gone]
    await ended(pool, without(gone))
    while await address_next(pool, Keys(KeyFile.model_validate(given)), NOW):
        pass
    states = {row["id"]: row["state"] for row in await pool.fetch("SELECT id, state FROM campaigns")}
    assert states == {first.id: "closed", other.id: "launched"}


async def test_a_late_recall_of_a_campaign_of_the_leavers_waits_for_nobody(pool: Pool, keys: Keys) -> None:
    """Between the start and the end of its campaigns: a message for its topic would stop all others' messages."""
    someone = person()
    await parties.note(pool, GROUP, keys)
    await know(pool, customer(keys, someone), permissions(someone, 1, [OWN_POST]))
    campaign = await launched(pool, keys, OWN_POST)
    await parties.note(pool, without("company.kauppa"), keys)
    await know(pool, permissions(someone, 2))
    assert await standing(pool, campaign) == set()
    assert await pool.fetchval("SELECT count(*) FROM reports") == 0


def test_no_campaign_is_drafted_for_who_has_left() -> None:
    assert [f.field for f in faults(OWN_POST, without("company.kauppa"))] == ["company"]
    assert [f.field for f in faults(THEIR_POST, without("partner.matkat"))] == ["partner"]


def again(group: Group, *companies: dict[str, Any]) -> Group:
    """The next revision, with these companies besides."""
    given = group.model_dump()
    given["companies"] = [*given["companies"], *companies]
    return Group.model_validate(given | {"revision": given["revision"] + 1})


@pytest.mark.parametrize("name", ["kauppa", "uusi"], ids=["back", "renamed"])
async def test_who_comes_back_or_under_another_name_begins_anew(pool: Pool, keys: Keys, name: str) -> None:
    """Nobody is in an old campaign again; a new one addresses who permits it now."""
    old, banned, party = person(), person(), f"company.{name}"
    await parties.note(pool, GROUP, keys)
    await know(pool, customer(keys, old), permissions(old, 1, [OWN_POST]))
    await know(pool, customer(keys, banned), permissions(banned, 1, [OWN_POST]))
    before = await launched(pool, keys, OWN_POST)
    gone = without("company.kauppa")
    await parties.note(pool, gone, keys)
    await ended(pool, gone)
    await know(pool, permissions(banned, 2))
    kauppa = next(c for c in GROUP.model_dump()["companies"] if c["id"] == "kauppa")
    group = again(gone, kauppa | {"id": name})
    file = keys._file.model_dump()
    file["id_keys"].setdefault(party, "ab" * 32)
    file["point_keys"].setdefault(party, {1: "cd" * 32})
    later = Keys(KeyFile.model_validate(file))
    assert await parties.note(pool, group, later) == ({"company.kauppa"} - {party})
    await ended(pool, group)
    aim = replace(OWN_POST, company=name)
    await know(pool, permissions(old, 3, [aim], company=name))
    assert faults(aim, group) == []
    after = await launched(pool, later, aim)
    assert (await standing(pool, before), await standing(pool, after)) == (set(), {old.id})
    assert actions(await said(pool, audiences(party)), later.pairwise(party, old.id))[-1:] == ["address"]
    async with pool.acquire() as conn:
        found = await campaigns.get(conn, before.id)
    assert found is not None
    assert found.state is CampaignState.CLOSED
