"""A no outlives the erasure of whoever said it: whoever is known to be them again is bound by it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.events.records import Customer, CustomershipOf
from kielto.events.words import Act, Channel, PointKind, Purpose, Reach, Status
from kielto.service.database.pool import Pool
from services.consents.model.ref import NamedSubject
from services.consents.model.rules import Rules
from services.consents.model.rules_file import Judgement
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.read import read_decision
from services.consents.use_cases.permissions.explain import explain
from services.consents.use_cases.permissions.restore import restore
from services.customers.model.customer import RegisteredCustomer as Registered
from services.customers.model.publishing import record
from tests.integration.consents.decisions.test_restore import listed
from tests.integration.consents.world import ConsentsWorld, Someone, erased
from tests.unit.customers.world import after, said

EVERYTHING: dict[str, Any] = {"purposes": tuple(Purpose), "channels": tuple(Channel), "reach": Reach.GROUP}
OWN: dict[str, Any] = {"reach": Reach.COMPANY, "company": "kauppa", "purposes": (Purpose.OWN_MARKETING,)}
CODE, HOME, MAILBOX = "c" * 64, "h" * 64, "m" * 64


async def erase(world: ConsentsWorld, who: Someone) -> None:
    await world.take_in([erased(who)])


async def banned_and_erased(world: ConsentsWorld, subject: str) -> Someone:
    who = Someone()
    await world.know(who, known_by=(CODE, HOME), known_by_mailbox=(MAILBOX,))
    await world.decide(named(world, who, subject))
    assert Channel.PHONE not in await world.allowed(who) or subject == "email"
    await erase(world, who)
    return who


def named(world: ConsentsWorld, who: Someone, subject: str) -> NamedSubject:
    match subject:
        case "id":
            return world.by_id(who)
        case "number":
            return world.by_number(who)
        case "email":
            return world.by_email(who.email)
        case _:
            return world.by_phone(who.phone)


def sealed_number(world: ConsentsWorld, of: Someone) -> CustomershipOf:
    return CustomershipOf(company="kauppa", digest=world.encrypted(PointKind.NUMBER, of.number("kauppa")))


async def imported_again(world: ConsentsWorld, gone: Someone, by: str) -> Someone:
    """A new customer who has one thing of the one who is gone."""
    again = Someone()
    changes: dict[str, Any] = {}
    match by:
        case "email":
            again = Someone(email=gone.email)
        case "phone":
            again = Someone(phone=gone.phone)
        case "number":
            changes = {"customerships": (sealed_number(world, gone),)}
        case "mailbox":
            changes = {"known_by_mailbox": (MAILBOX,)}
        case _:
            changes = {"known_by": ({"code": CODE, "home": HOME}[by],)}
    await world.know(again, **changes)
    return again


@pytest.mark.parametrize("by", ["email", "phone", "number", "code", "home", "mailbox"])
@pytest.mark.parametrize("subject", ["id", "number", "email", "phone"])
async def test_whoever_is_known_again_is_denied(world: ConsentsWorld, subject: str, by: str) -> None:
    gone = await banned_and_erased(world, subject)
    again = await imported_again(world, gone, by)
    assert await world.allowed(again) == set()
    assert len(await world.restrictions(again)) == 1
    assert await world.stale() == []


WAYS = ["email", "phone", "number", "code", "home", "mailbox"]


@pytest.mark.parametrize("subject", ["id", "number", "email", "phone"])
async def test_a_no_that_was_lifted_in_part_denies_whoever_is_known_again(
    world: ConsentsWorld, subject: str
) -> None:
    """What was freed was the erased one's; nobody knows who the newcomer is. It comes back whole."""
    who = Someone()
    await world.know(who, known_by=(CODE, HOME), known_by_mailbox=(MAILBOX,))
    ban = (await world.decide(named(world, who, subject))).decision.id
    channel = Channel.EMAIL if subject == "email" else Channel.PHONE
    lifted = OWN | {"channels": (channel,)}
    await world.decide(named(world, who, subject), Act.LIFTING, lifts=(ban,), **lifted)
    assert (channel is Channel.EMAIL) or "phone" in await world.allowed(who)
    await erase(world, who)
    for by in WAYS:
        again = await imported_again(world, who, by)
        assert await world.allowed(again) == set(), by
        assert await world.restrictions(again) == {ban}, by
        await world.decide(world.by_id(again), Act.LIFTING, lifts=(ban,), **lifted)
        assert await world.allowed(again) == ({"phone"} if channel is Channel.PHONE else set()), by


ADDRESS = {"street": "Käsityökatu 1 A 2", "postal_code": "00100", "city": "Helsinki"}
EVA: dict[str, Any] = {
    "name": "Eva Ek",
    "points": [
        {"kind": "email", "value": "eva@example.com"},
        {"kind": "phone", "value": "040 555 0002"},
        {"kind": "post", "address": ADDRESS},
    ],
}
BACK: dict[str, dict[str, Any]] = {
    "email": {"points": [{"kind": "email", "value": "EVA@example.com"}]},
    "phone": {"points": [{"kind": "phone", "value": "+358 40 5550002"}]},
    "number": {"customerships": [{"company": "kauppa", "number": "1"}]},
    "code": {"identity_code": "131052-308T"},
    "home": {
        "name": "EK, ÉVA",
        "points": [{"kind": "post", "address": ADDRESS | {"street": "KÄSITYÖKATU 1a2"}}],
    },
    "mailbox": {"points": [{"kind": "email", "value": "eva+list@example.com"}]},
    "nothing": {"name": "Eva Ek", "points": [{"kind": "email", "value": "ek@example.com"}]},
}


async def test_the_registers_own_records_make_them_known_again(world: ConsentsWorld) -> None:
    """As customers publishes them, from what companies give."""

    def known(number: str, **fields: Any) -> Customer:
        given = {"customerships": [{"company": "kauppa", "number": number}], **fields}
        code = b"the blind index of it" if "identity_code" in fields else None
        person = after(Registered(uuid4()), said(**given), identity=code)
        return record(person, world.keys).model_copy(update={"version": "1.1"})

    eva = known("1", identity_code="131052-308T", **EVA)
    await world.take_in([eva])
    ban = (await world.decide(NamedSubject.of_customer(eva.subject))).decision.id
    await world.take_in([Customer(version="1.2", subject=eva.subject, status=Status.ERASED)])
    for by, fields in BACK.items():
        again = known("2", **fields)
        await world.take_in([again])
        held = await world.restrictions(Someone(id=again.subject))
        assert held == (set() if by == "nothing" else {ban}), by


async def test_a_stranger_is_free(world: ConsentsWorld) -> None:
    await banned_and_erased(world, "id")
    stranger = Someone()
    await world.know(stranger, known_by=("x" * 64,))
    assert await world.allowed(stranger) == {"phone", "post"}


async def test_another_tag_of_the_mailbox_is_another_address_where_the_switch_is_off(
    world: ConsentsWorld, context: Context
) -> None:
    gone = await banned_and_erased(world, "id")
    rules = Rules.shipped({Judgement.PLUS_ADDRESS_IS_MAILBOX: False})
    world.context = replace(context, rules=rules)
    assert await world.allowed(await imported_again(world, gone, "mailbox")) == {"phone", "post"}
    assert await world.allowed(await imported_again(world, gone, "email")) == set()
    both = Someone(email=gone.email)
    await world.know(both, known_by_mailbox=(MAILBOX,))
    assert await world.allowed(both) == set()


async def test_without_a_no_nothing_is_kept(world: ConsentsWorld, pool: Pool) -> None:
    who = Someone()
    await world.know(who, known_by=(CODE,))
    await world.consent(who, Channel.EMAIL)
    await erase(world, who)
    assert await pool.fetchval("SELECT count(*) FROM suppressions") == 0
    assert await pool.fetchval("SELECT count(*) FROM customer_refs WHERE ref NOT LIKE 'i:%'") == 0


async def test_the_new_customers_own_yes_that_cites_it_frees_and_nothing_else_does(
    world: ConsentsWorld,
) -> None:
    gone = await banned_and_erased(world, "id")
    again = await imported_again(world, gone, "phone")
    (ban,) = await world.restrictions(again)
    await world.consent(again, Channel.EMAIL)
    assert await world.allowed(again) == set()
    await world.decide(
        world.by_phone(again.phone), Act.LIFTING, lifts=(ban,), **OWN, channels=(Channel.PHONE,)
    )
    assert await world.allowed(again) == set(), "an address is nobody"
    await world.decide(world.by_id(again), Act.LIFTING, lifts=(ban,), **EVERYTHING)
    assert await world.allowed(again) == {"email", "phone", "post"}
    third = await imported_again(world, gone, "phone")
    assert await world.allowed(third) == set(), "it frees whoever gave it"


async def test_a_lifted_no_is_not_kept(world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    await world.decide(world.by_id(who), Act.LIFTING, lifts=(ban,), **EVERYTHING)
    await erase(world, who)
    again = await imported_again(world, who, "phone")
    assert await world.allowed(again) == {"phone", "post"}


async def test_a_consent_by_number_is_not_the_next_holders(world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    yes = {**OWN, "channels": (Channel.EMAIL,)}
    await world.decide(world.by_number(who), Act.CONSENT, **yes)
    assert Channel.EMAIL in await world.allowed(who)
    await erase(world, who)
    again = await imported_again(world, who, "number")
    assert await world.allowed(again) == {"phone", "post"}
    await world.decide(world.by_number(who), Act.CONSENT, **yes)
    assert Channel.EMAIL in await world.allowed(again)


async def test_a_ban_that_the_person_of_another_record_gave_stays_where_it_bound(
    world: ConsentsWorld,
) -> None:
    who, other = Someone(), Someone(("sahko",))
    await world.know(who)
    await world.know(other, bound_by=(who.id,))
    ban = (await world.decide(world.by_number(who))).decision.id
    await erase(world, who)
    assert await world.restrictions(other) == {ban}
    await world.know(other)
    assert await world.allowed(other, "company.sahko") == set(), "the register no longer says so"


async def test_each_record_of_a_merged_person_is_known_again(world: ConsentsWorld) -> None:
    for survivor_first in (True, False):
        gone, into = Someone(), Someone()
        await world.know(gone, into)
        await world.know(gone, alias_of=into.id, status="alias")
        await world.decide(world.by_id(gone))
        for who in (into, gone) if survivor_first else (gone, into):
            await erase(world, who)
        for who in (gone, into):
            assert await world.allowed(await imported_again(world, who, "phone")) == set()


async def test_who_shared_the_address_before_is_somebody_else(world: ConsentsWorld, pool: Pool) -> None:
    """A shared family mailbox: the other's record was here long before the erasure."""
    who = Someone()
    partner = Someone(email=who.email)
    await world.know(who, partner)
    await world.decide(world.by_id(who))
    await pool.execute("UPDATE customers SET since = since - interval '2 hours' WHERE id = $1", partner.id)
    await erase(world, who)
    await world.know(partner)
    assert await world.allowed(partner) == {"phone", "post"}
    later = await imported_again(world, who, "email")
    assert await world.allowed(later) == set()
    await erase(world, later)
    await world.know(partner)
    assert await world.allowed(partner) == {"phone", "post"}


async def test_who_came_just_before_the_erasure_may_be_the_same_person(world: ConsentsWorld) -> None:
    """The erasure may be read after the import that came after it."""
    who = Someone()
    await world.know(who)
    await world.decide(world.by_id(who))
    again = await imported_again(world, who, "email")
    assert await world.allowed(again) == {"phone", "post"}
    await erase(world, who)
    await world.know(again)
    assert await world.allowed(again) == set()


async def test_two_who_are_bound_stay_bound_when_one_is_erased(world: ConsentsWorld, pool: Pool) -> None:
    gone = await banned_and_erased(world, "id")
    one, other = [await imported_again(world, gone, "email") for _ in range(2)]
    await pool.execute("UPDATE customers SET since = since - interval '2 hours'")
    await erase(world, one)
    await world.know(other)
    assert await world.allowed(other) == set()


async def test_a_replayed_erasure_loses_nothing(world: ConsentsWorld, pool: Pool) -> None:
    """The register was restored, gave the person out again, and erased them again."""
    who = Someone()
    await world.know(who, known_by=(CODE,))
    await world.decide(world.by_number(who))
    await erase(world, who)
    kept = await pool.fetch("SELECT * FROM suppressions ORDER BY ref")
    again = await imported_again(world, who, "code")
    late = world.record(who, known_by=(CODE,)).model_copy(update={"version": "1.1"})
    await world.take_in([late])
    for epoch in (2, 3):
        bare = erased(who).model_copy(update={"version": f"{epoch}.9"})
        await world.take_in([world.record(who).model_copy(update={"version": f"{epoch}.8"})])
        assert await world.allowed(who) == set(), "given out again"
        await world.take_in([bare])
        await world.take_in([bare])
    assert set(kept) <= set(await pool.fetch("SELECT * FROM suppressions"))
    assert await world.allowed(again) == set()
    assert await world.allowed(await imported_again(world, who, "code")) == set()


async def test_what_a_restore_lost_comes_back_at_whom_it_bound(
    world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    """The backup is from before the ban and the erasure; the newcomer's record lists the ban."""
    gone = await banned_and_erased(world, "id")
    again = await imported_again(world, gone, "email")
    kept = await listed(world, again)
    await pool.execute("TRUNCATE suppressions, decisions, evidence, salts, unsealed CASCADE")
    await world.know(again)
    await pool.execute("UPDATE epoch SET epoch = 2, open = false")
    assert await world.allowed(again) == {"phone", "post"}
    await restore(context, kept, 2)
    assert await world.allowed(again) == set()


async def test_the_evidence_of_the_erased_is_gone_and_the_decision_stays(
    world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    who, other = Someone(), Someone()
    shared = Someone(phone=other.phone)
    await world.know(who, other, shared)
    said: dict[str, UUID] = {
        name: (await world.decide(subject, evidence="I am Matti and I am ill")).decision.id
        for name, subject in {
            "id": world.by_id(who),
            "number": world.by_number(who),
            "email": world.by_email(who.email),
            "another": world.by_id(other),
        }.items()
    }
    both = (await world.decide(world.by_phone(other.phone), evidence="of two")).decision.id
    await erase(world, who)
    await erase(world, shared)
    for name, ident in said.items():
        found = await read_decision(context, ident, None)
        assert (found.evidence is None) == (name != "another"), name
        assert found.row["act"] == "ban"
    assert (await read_decision(context, both, None)).evidence == "of two"
    assert await pool.fetchval("SELECT count(*) FROM evidence") == 2
    after = await world.decide(world.by_id(who), evidence="said when gone")
    assert (await read_decision(context, after.decision.id, None)).evidence is None


async def test_the_group_is_told_why(world: ConsentsWorld, context: Context, pool: Pool) -> None:
    gone = await banned_and_erased(world, "id")
    again = await imported_again(world, gone, "code")
    (said,) = (await explain(context, again.id, None)).decisions.values()
    assert said.suppressed
    assert said.received_at < datetime.now(UTC)
    assert {d.id for d in (await explain(context, again.id, "kauppa")).decisions.values()} == {said.id}
