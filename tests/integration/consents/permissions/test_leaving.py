"""A company or partner leaves the group, comes back, or comes under another name: nobody's ban is refused or lost."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kielto.events.messages import MarketingEvent
from kielto.events.words import Act, Channel, Purpose, Reach
from kielto.group import Company, Group
from kielto.service.database.pool import Pool, transaction
from kielto.service.outbox import parties
from kielto.service.support.crypto_keys import KeyFile, Keys
from services.consents.consumers.facts import MarketingEventsConsumer
from services.consents.consumers.subscriptions import subscriptions
from services.consents.model.check import DecisionError
from services.consents.model.ref import NamedSubject
from services.consents.store.permissions.locks import SubjectsMovedError
from services.consents.use_cases.permissions.apply_facts import recompute_next
from tests.integration.consents.conftest import GROUP
from tests.integration.consents.world import ConsentsWorld, Someone, erased

BOTH = ("kauppa", "sahko")
NO_ENDS: Any = None
"""Nothing is acknowledged here."""


def without(*gone: str) -> Group:
    """The next revision of the group, without these parties and whatever is theirs."""
    kept = tuple(c for c in GROUP.companies if f"company.{c.id}" not in gone)
    ids = {c.id for c in kept}
    partners = tuple(
        p.model_copy(update={"of": tuple(c for c in p.of if c in ids)})
        for p in GROUP.partners
        if f"partner.{p.id}" not in gone and set(p.of) & ids
    )
    there = {f"company.{c}" for c in ids} | {f"partner.{p.id}" for p in partners}
    return Group(
        revision=GROUP.revision + 1,
        controller=GROUP.controller,
        companies=kept,
        partners=partners,
        subscribers=tuple(s for s in GROUP.subscribers if s.party in there),
    )


async def restart(world: ConsentsWorld, group: Group, keys: Keys) -> ConsentsWorld:
    """Consents as it starts with this group file."""
    left = await parties.note(world.pool, group, keys)
    return ConsentsWorld(replace(world.context, group=group, keys=keys, left=left))


async def computed(world: ConsentsWorld) -> None:
    context = world.context
    await parties.compute_anew(
        world.pool, (), lambda conn, after: recompute_next(conn, context, after), (SubjectsMovedError,)
    )


def forget(file: KeyFile, gone: str) -> Keys:
    given = file.model_dump()
    for kind in ("id_keys", "point_keys"):
        given[kind] = {party: key for party, key in given[kind].items() if party != gone}
    return Keys(KeyFile.model_validate(given))


@pytest.fixture(params=["keys kept", "keys gone"])
def leave(request: pytest.FixtureRequest, world: ConsentsWorld) -> Callable[[str], Any]:
    """`await leave("company.sahko")`: consents restarted without it."""

    async def left(gone: str) -> ConsentsWorld:
        await parties.note(world.pool, GROUP, world.keys)
        keys = world.keys if request.param == "keys kept" else forget(world.keys._file, gone)
        after = await restart(world, without(gone), keys)
        assert gone in after.context.left
        return after

    return left


SUBJECTS: dict[str, Callable[[ConsentsWorld, Someone], NamedSubject]] = {
    "by id": lambda world, who: world.by_id(who),
    "by the leaver's number": lambda world, who: world.by_number(who, "sahko"),
    "by another company's number": lambda world, who: world.by_number(who),
    "by phone": lambda world, who: world.by_phone(who.phone),
    "by e-mail": lambda world, who: world.by_email(who.email),
}


@pytest.mark.parametrize("gone", ["company.sahko", "partner.matkat"])
@pytest.mark.parametrize("subject", SUBJECTS)
async def test_a_ban_of_somebody_who_was_also_its_customer_is_taken_and_travels(
    world: ConsentsWorld, leave: Any, gone: str, subject: str
) -> None:
    who = Someone(BOTH)
    await world.know(who)
    await world.disclose(who)
    assert await world.allowed(who)
    after = await leave(gone)
    await world.lanes()
    outcome = await after.decide(SUBJECTS[subject](after, who))
    assert gone not in {w.family for w in outcome.written}
    left_open = {"by phone": {"post"}, "by e-mail": {"phone", "post"}}
    assert await after.allowed(who) == left_open.get(subject, set())
    assert outcome.decision.id in await after.restrictions(who)
    assert await world.pool.fetchval("SELECT count(*) FROM marks WHERE family = $1", gone) == 0


async def test_every_consumer_and_query_goes_on_about_a_customer_of_the_leaver(
    world: ConsentsWorld, leave: Any
) -> None:
    who, other, third = Someone(BOTH), Someone(BOTH), Someone(("sahko",))
    await world.know(who, other, third)
    await world.disclose(who)
    after: ConsentsWorld = await leave("company.sahko")
    await after.know(who, third, deceased=True)
    await after.know(who, third)
    ban = (await after.decide(after.by_id(who))).decision
    await after.decide(after.by_id(who), Act.LIFTING, lifts=(ban.id,), reach=Reach.GROUP)
    assert ban.id not in await after.restrictions(who)
    await after.consent(who, Channel.SMS)
    await after.take_in([after.record(other, alias_of=who.id, status="alias", points=(), customerships=())])
    await after.take_in([erased(third)])
    assert (await after.body(third, "consents") or {})["status"] == "erased"
    await after.deny(who, 99)
    assert await after.stale() == []


async def test_a_number_of_the_leaver_gives_no_yes_and_no_reach(world: ConsentsWorld, leave: Any) -> None:
    who = Someone(BOTH)
    await world.know(who)
    after: ConsentsWorld = await leave("company.sahko")
    yes: dict[str, Any] = {"purposes": (Purpose.OWN_MARKETING,), "channels": (Channel.SMS,)}
    with pytest.raises(DecisionError, match="company"):
        await after.decide(
            after.by_number(who, "sahko"), Act.CONSENT, reach=Reach.COMPANY, company="kauppa", **yes
        )
    with pytest.raises(DecisionError, match="company"):
        await after.decide(after.by_id(who), reach=Reach.COMPANY, company="sahko")


async def test_what_was_said_there_stays_in_force(world: ConsentsWorld, leave: Any) -> None:
    who = Someone(BOTH)
    await world.know(who)
    said = await world.decide(world.by_number(who, "sahko"), party="company.sahko", reach=Reach.GROUP)
    after: ConsentsWorld = await leave("company.sahko")
    await after.know(who)
    assert said.decision.id in await after.restrictions(who)
    assert await after.allowed(who) == set()


async def test_a_partner_that_leaves_is_allowed_nothing_through_companies_any_more(
    world: ConsentsWorld, leave: Any
) -> None:
    who = Someone()
    await world.know(who)
    await world.disclose(who)
    assert "matkat" in json.dumps(await world.body(who))
    after: ConsentsWorld = await leave("partner.matkat")
    await world.lanes()
    await computed(after)
    assert "matkat" not in json.dumps(await after.body(who))
    assert "matkat" not in json.dumps(await after.body(who, "consents"))
    assert await after.lanes() == ["express", "express"]


async def test_a_partners_relation_that_ends_is_the_same(world: ConsentsWorld) -> None:
    """The partner stays, with another company."""
    who = Someone()
    await world.know(who)
    await parties.note(world.pool, GROUP, world.keys)
    moved = tuple(p.model_copy(update={"of": ("sahko",)}) for p in GROUP.partners)
    after = await restart(world, GROUP.model_copy(update={"revision": 2, "partners": moved}), world.keys)
    await computed(after)
    assert "matkat" not in json.dumps(await after.body(who))


async def test_disclosures_to_a_partner_that_left_are_kept(world: ConsentsWorld, leave: Any) -> None:
    who = Someone()
    await world.know(who)
    after: ConsentsWorld = await leave("partner.matkat")
    handler = MarketingEventsConsumer(after.context)
    event: Any = MarketingEvent.model_validate(
        {"id": who.id, "what": "disclosure", "customer": who.id, "company": "kauppa", "partner": "matkat",
         "at": "2026-01-01T00:00:00Z"}
    )  # fmt: skip
    row = handler._row(event, "matkat")
    assert (row.ref is None) == (not after.keys.knows("partner.matkat"))
    assert "partner.matkat.decisions.v1" not in {s.topic for s in subscriptions(after.context, NO_ENDS)}


async def test_who_comes_back_learns_first_of_the_bans_and_then_of_the_rest(
    world: ConsentsWorld, leave: Any, pool: Pool
) -> None:
    banned, quiet, gone_quiet, fresh = Someone(BOTH), Someone(BOTH), Someone(BOTH), Someone(BOTH)
    await world.know(banned, quiet, gone_quiet)
    await world.lanes()
    waiting = await world.decide(world.by_id(gone_quiet))  # not yet published when it leaves
    after: ConsentsWorld = await leave("company.sahko")
    assert await world.allowed(gone_quiet, "company.sahko") == set()
    await after.decide(after.by_id(banned))
    await after.know(fresh)
    await after.know(quiet)  # republished, as allowing the leaver nothing
    await world.lanes()

    back = await restart(world, GROUP.model_copy(update={"revision": 3}), world.keys)
    assert not back.context.left
    marked = await pool.fetch("SELECT DISTINCT lane, key FROM marks WHERE family = 'company.sahko'")
    keys = {world.key("company.sahko", who) for who in (banned, gone_quiet)}
    assert {("express", key) for key in keys} <= {(row["lane"], row["key"]) for row in marked}
    assert await back.allowed(banned, "company.sahko") == set()
    await computed(back)
    for who in (quiet, fresh):
        assert await back.allowed(who, "company.sahko") == await back.allowed(who, "company.kauppa") != set()
    assert await back.allowed(banned, "company.sahko") == set()
    assert waiting.decision.id in await back.restrictions(gone_quiet)
    assert await back.stale() == []
    assert not await pool.fetchval("SELECT stale FROM parties WHERE party = 'company.sahko'")


async def test_under_another_name_it_is_another_company(world: ConsentsWorld, leave: Any) -> None:
    """Renamed: the old one leaves and the new one brings its customers itself. A group-wide ban binds them there."""
    who = Someone(BOTH)
    await world.know(who)
    await world.decide(world.by_id(who))
    after: ConsentsWorld = await leave("company.sahko")
    file = after.keys._file.model_dump()
    for kind in ("id_keys", "point_keys"):
        file[kind]["company.energia"] = file[kind]["company.kauppa"]
    group = without("company.sahko")
    new = (*group.companies, Company(id="energia", name="Energia", product_groups=("electricity",)))
    group = Group.model_validate({**group.model_dump(), "companies": new, "revision": 3})
    renamed = await restart(world, group, Keys(KeyFile.model_validate(file)))
    who.companies = (*BOTH, "energia")
    other = Someone(("energia",), phone=who.phone)
    await renamed.know(who, other)
    assert await renamed.allowed(who, "company.energia") == set()
    assert await renamed.allowed(other, "company.energia")
    await computed(renamed)
    assert await renamed.stale() == []


async def test_another_key_of_a_known_party_is_refused_at_start(world: ConsentsWorld) -> None:
    await parties.note(world.pool, GROUP, world.keys)
    file = world.keys._file.model_dump()
    file["id_keys"]["company.sahko"] = "00" * 32
    with pytest.raises(parties.OtherKeysError, match=r"id_keys\.company\.sahko"):
        await parties.note(world.pool, GROUP, Keys(KeyFile.model_validate(file)))


async def test_a_process_with_an_older_group_file_brings_nobody_back(world: ConsentsWorld) -> None:
    await parties.note(world.pool, GROUP, world.keys)
    await parties.note(world.pool, without("company.sahko"), world.keys)
    assert await parties.note(world.pool, GROUP, world.keys) == frozenset()
    assert await parties.left(world.pool, without("company.sahko")) == {"company.sahko"}
    async with transaction(world.pool) as conn:
        assert await conn.fetchval("SELECT left_at IS NOT NULL FROM parties WHERE party = 'company.sahko'")
