"""What was sent after a ban and its bound opens a breach; nothing else does. In whatever order it is told."""

from datetime import datetime
from itertools import product
from typing import Any

import pytest

from kielto.events.words import Act, Channel, Purpose, Status
from kielto.service.database.pool import Pool, transaction
from services.consents import metrics
from services.consents.model.clearance import ClearanceReason, ClearanceRequest
from services.consents.model.ref import Ref
from services.consents.store import clearances, deliveries
from services.consents.store.clearances import Result
from services.consents.use_cases import breaches
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.restore import restore
from tests.integration.consents.decisions.test_restore import listed
from tests.integration.consents.reported import (
    BOUND,
    CAMPAIGN,
    ago,
    found,
    opened,
    phone_of,
    tell,
    who,
    with_a_contact,
)
from tests.integration.consents.world import ConsentsWorld, Someone, a_part, erased

__all__ = ["who"]  # fixtures


@pytest.mark.parametrize(
    ("claimed", "told", "what"),
    [
        (50, 49, "after_ban"),
        (71, 70, "within_bound"),
        (101, 90, "not_banned"),
        (101, 40, "claimed_before"),
        (-500, 40, "after_ban"),
        (-500, 101, "not_banned"),  # a clock that runs ahead: it was sent by the time it was told
    ],
)
async def test_a_sending_is_held_against_the_ban_before_it(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone, claimed: float, told: float, what: str
) -> None:
    outcome = await world.decide(world.by_id(who), received_at=ago(100))
    ident = await tell(context, who, ago(claimed), ago(told))

    assert await found(pool, ident) == what
    assert await opened(pool) == ({ident} if what == "after_ban" else set())
    if what == "after_ban":
        row = await pool.fetchrow("SELECT * FROM breaches")
        assert row is not None
        assert (row["decisions"], row["bound_seconds"]) == ([outcome.decision.id], BOUND)
        assert (row["claimed_at"], row["reported_at"]) == (ago(claimed), ago(told))
        assert '"kauppa-crm"' in row["subscribers"]
        assert '"applied": true' not in row["subscribers"]


async def test_a_ban_of_something_else_is_none(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), channels=(Channel.POST,), received_at=ago(100))
    assert await found(pool, await tell(context, who, ago(50), ago(49))) == "not_banned"


async def test_lifted_and_banned_again_within_the_bound(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    ban = await world.decide(world.by_id(who), channels=(Channel.PHONE,), received_at=ago(300))
    await world.consent(
        who,
        Channel.PHONE,
        lifts=(ban.decision.id,),
        received_at=ago(200),
    )
    assert await found(pool, await tell(context, who, ago(150), ago(149))) == "not_banned"
    assert await found(pool, await tell(context, who, ago(250), ago(249))) == "after_ban"


async def test_a_ban_that_reaches_us_after_the_report(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    ident = await tell(context, who, ago(50), ago(49))
    before = await tell(context, who, ago(150), ago(149))
    assert await found(pool, ident) == "not_banned"

    await world.decide(world.by_phone(who.phone), received_at=ago(100))  # it lay in the company's topic
    await breaches.detect(context)
    assert await found(pool, ident) == "after_ban"
    assert await opened(pool) == {ident}
    assert await found(pool, before) == "not_banned"


async def test_a_late_ban_under_another_id_of_the_person(
    world: ConsentsWorld, pool: Pool, context: Context
) -> None:
    survivor, alias = Someone(), Someone()
    await world.know(survivor, alias)
    await world.know(survivor, aliases=(alias.id,))
    await world.know(alias, alias_of=survivor.id, status=Status.ALIAS, points=(), customerships=())
    told = [await tell(context, who, ago(50), ago(49)) for who in (survivor, alias)]
    assert [await found(pool, ident) for ident in told] == ["not_banned"] * 2

    await world.decide(world.by_id(alias), received_at=ago(100))
    await breaches.detect(context)
    assert await opened(pool) == set(told)


async def test_a_late_ban_of_an_organisation(world: ConsentsWorld, pool: Pool, context: Context) -> None:
    organisation, contact = await with_a_contact(world)
    ident = await tell(context, contact, ago(50), ago(49))
    assert await found(pool, ident) == "not_banned"

    await world.decide(world.by_id(organisation), received_at=ago(100))
    await breaches.detect(context)
    assert await opened(pool) == {ident}


async def test_a_ban_that_is_taken_in_again_after_a_restore(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    kept = {key: one._replace(at=ago(100)) for key, one in (await listed(world, who)).items()}
    await pool.execute("TRUNCATE decisions, heard, salts, unsealed CASCADE")
    await pool.execute("DELETE FROM records")
    await world.know(who)
    ident = await tell(context, who, ago(50), ago(49))
    assert await found(pool, ident) == "not_banned"

    await restore(context, kept, 1)
    await breaches.detect(context)
    assert await opened(pool) == {ident}


@pytest.mark.parametrize("claimed", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_a_clock_at_the_edge_of_the_calendar_stops_nothing(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone, claimed: str
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    await tell(context, who, datetime.fromisoformat(claimed), ago(49))
    ident = await tell(context, who, ago(50), ago(49))
    assert await found(pool, ident) == "after_ban"


async def test_one_that_cannot_be_judged_keeps_no_other_waiting(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    broken = await tell(context, who, ago(50), ago(49))
    await pool.execute("UPDATE deliveries SET claimed_at = '-infinity', found = NULL, look_at = 'epoch'")
    failed = metrics.DELIVERIES_JUDGED.labels("failed")._value.get()
    ident = await tell(context, who, ago(50), ago(49))
    assert await found(pool, ident) == "after_ban"
    assert await found(pool, broken) is None
    assert metrics.DELIVERIES_JUDGED.labels("failed")._value.get() == failed + 1


async def test_somebody_whom_we_come_to_know_later(
    world: ConsentsWorld, pool: Pool, context: Context
) -> None:
    late = Someone(("kauppa",))
    await world.decide(world.by_id(late), received_at=ago(100))
    ident = await tell(context, late, ago(50), ago(49))
    assert await found(pool, ident) is None

    await world.know(late)
    await pool.execute("UPDATE deliveries SET look_at = clock_timestamp()")  # an hour later
    await breaches.detect(context)
    assert await found(pool, ident) == "after_ban"


async def test_a_clearance_that_was_valid_is_the_bound(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    ref = Ref.of_party("company.kauppa", world.key("company.kauppa", who))
    asked = ClearanceRequest("kauppa", str(CAMPAIGN), "own_marketing", "phone", None, None, None, "test")
    async with transaction(pool) as conn:
        await clearances.add(conn, a_part(), asked, [Result(ref, ClearanceReason.ALLOWED, None)])
        await conn.execute("UPDATE clearances SET at = $1, valid_until = $2", ago(101), ago(41))
    assert await found(pool, await tell(context, who, ago(45), ago(44))) == "within_bound"
    assert await found(pool, await tell(context, who, ago(40), ago(39))) == "after_ban"


async def test_a_clearance_of_other_marketing_excuses_nothing(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), Act.OPT_OUT, received_at=ago(100))  # partners' marketing alone
    ref = Ref.of_party("company.kauppa", world.key("company.kauppa", who))
    asked = ClearanceRequest("kauppa", str(CAMPAIGN), "own_marketing", "phone", None, None, None, "test")
    async with transaction(pool) as conn:
        await clearances.add(conn, a_part(), asked, [Result(ref, ClearanceReason.ALLOWED, None)])
        await conn.execute("UPDATE clearances SET at = $1, valid_until = $2", ago(51), ago(41))
    given = {"purpose": Purpose.PARTNER_MARKETING, "partner": "matkat"}
    ident = await tell(context, who, ago(45), ago(44), **given)
    assert await found(pool, ident) == "after_ban"


async def test_a_decision_that_comes_while_it_is_judged(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    ident = await tell(context, who, ago(50), ago(49))
    await pool.execute("UPDATE deliveries SET found = NULL")
    [(delivery, round_)] = await deliveries.due(pool, 10)
    await world.decide(world.by_id(who), received_at=ago(100))
    await deliveries.requeue_affected(pool)
    async with transaction(pool) as conn:
        assert not await deliveries.record_finding(conn, delivery, round_, "not_banned")
    await breaches.detect(context)
    assert await found(pool, ident) == "after_ban"


CHANGES: dict[str, dict[str, Any]] = {
    "point gone": {"points": ()},
    "deceased": {"deceased": True},
    "minor": {"minor": True},
    "safety ban": {"safety_ban": True},
    "customership over": {"active": ()},
}


@pytest.mark.parametrize(("how", "by"), [("erased", "id"), *product(CHANGES, ("id", "number"))])
async def test_facts_that_changed_since_excuse_nothing(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone, how: str, by: str
) -> None:
    subject = world.by_id(who) if by == "id" else world.by_number(who)
    await world.decide(subject, received_at=ago(100))
    if how == "erased":
        await world.take_in([erased(who)])
    else:
        await world.know(who, **CHANGES[how])
    for point in (None, phone_of(context, who)):
        ident = await tell(context, who, ago(50), ago(49), point=point)
        assert await found(pool, ident) == "after_ban"
    assert await found(pool, await tell(context, who, ago(101), ago(101))) == "not_banned"


async def test_who_cannot_be_read_is_judged_when_they_can(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    await world.deny(who, 5)
    ident = await tell(context, who, ago(50), ago(49))
    assert await found(pool, ident) is None
    who.n = 10
    await world.know(who)
    await pool.execute("UPDATE deliveries SET look_at = now()")  # an hour later
    await breaches.detect(context)
    assert await found(pool, ident) == "after_ban"


async def test_an_organisation_that_cannot_be_read_is_waited_for(
    world: ConsentsWorld, pool: Pool, context: Context
) -> None:
    organisation, contact = await with_a_contact(world)
    await world.decide(world.by_phone(contact.phone), received_at=ago(100))
    await world.deny(organisation, 5)
    ident = await tell(context, contact, ago(50), ago(49))
    assert await found(pool, ident) is None
