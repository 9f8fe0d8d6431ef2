"""After a restore: what our own topics list and the database lacks denies again, and proof is asked anew."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.events.envelope import Read, Unreadable
from kielto.events.records import Customer, CustomerPermissions
from kielto.events.versions import Version
from kielto.events.words import Act, Channel, Purpose, Reach
from kielto.service.database.pool import Pool
from services.consents.model.decisions import OfficerAction
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.release_or_void import OfficerOrder, act_on_all
from services.consents.use_cases.permissions.explain import explain
from services.consents.use_cases.permissions.restore import listed_in, restore
from services.consents.use_cases.propagation.whereabouts import Stage
from tests.integration.consents.propagation.test_whereabouts import PublicationLog
from tests.integration.consents.world import ConsentsWorld, Someone

EVERYTHING = {"purposes": tuple(Purpose), "channels": tuple(Channel), "reach": Reach.GROUP}


async def listed(world: ConsentsWorld, *people: Someone) -> dict[str, Any]:
    """What the topic holds of them, as it is read back."""
    found = {}
    for who in people:
        body = await world.body(who, "consents")
        assert body is not None
        record = CustomerPermissions.model_validate({"version": "1.9", **body})
        found[str(who.id)] = listed_in(Read(str(who.id), record))
    return {key: kept for key, kept in found.items() if kept is not None}


async def restored(world: ConsentsWorld, *people: Someone) -> None:
    """The database is as it was before anybody said anything; a new epoch has begun and is not open."""
    tables = (
        "evidence, decision_records, decision_marks, decisions, restored, salts, unsealed, suppressions, "
        "known_apart, lapsed"
    )
    await world.pool.execute(f"TRUNCATE {tables}")
    await world.pool.execute("DELETE FROM records")
    async with world.pool.acquire() as conn, conn.transaction():
        await conn.execute("UPDATE customers SET n = 0, epoch = 0")
    for who in people:
        who.n = 0
    await world.know(*people)
    await world.pool.execute("UPDATE epoch SET epoch = 2, open = false")
    await world.pool.execute("UPDATE records SET epoch = 2")
    await world.lanes()


async def opened(world: ConsentsWorld) -> None:
    await world.pool.execute("UPDATE epoch SET open = true")


async def test_a_ban_that_the_database_lacks_denies_again(
    world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    who = Someone()
    await world.know(who)
    before = await world.allowed(who)
    ban = await world.decide(world.by_id(who), channels=(Channel.PHONE,), reach=Reach.GROUP)
    denied = await world.allowed(who)
    assert denied < before
    kept = await listed(world, who)
    await restored(world, who)
    assert await world.allowed(who) == before
    for _ in range(2):  # begun again, after a crash
        await restore(context, kept, 2)
    assert await world.allowed(who) == denied
    assert await world.restrictions(who) == {ban.decision.id}
    assert await world.lanes() == ["express", "express"]
    await opened(world)
    found = await explain(context, who.id, None)
    (said,) = found.decisions.values()
    assert said.id == ban.decision.id
    assert said.spared is not None
    assert any(v.ruling.decisions == (said.id,) for v in found.cells if v.cell.channel is Channel.PHONE)
    assert await world.stale() == []


@pytest.mark.parametrize("voided", [False, True])
async def test_what_was_held_comes_back_as_narrow_and_what_was_voided_never(
    world: ConsentsWorld, context: Context, pool: Pool, voided: bool
) -> None:
    """A partner's no about a stranger; its customer's company may go on, before the restore and after."""
    world.context = replace(context, limits=context.limits.model_copy(update={"foreign_nos_per_hour": 1}))
    who = Someone()
    await world.know(who)
    kauppas = await world.allowed(who)
    partners = flat(await world.body(who))
    for phone in ("+358501234567", who.phone):
        await world.decide(world.by_phone(phone), party="partner.matkat", by_topic=True)
    narrowed = flat(await world.body(who))
    assert narrowed < partners
    if voided:
        order = OfficerOrder(
            OfficerAction.VOIDED, "partner.matkat", datetime(2000, 1, 1, tzinfo=UTC), "officer", "x"
        )
        assert await act_on_all(world.context, order) == 2
    kept = await listed(world, who)
    await restored(world, who)
    await restore(context, kept, 2)
    assert await world.allowed(who) == kauppas
    assert flat(await world.body(who)) == (partners if voided else narrowed)


def flat(body: Any) -> set[tuple[str, str, str | None]]:
    """Channel, purpose and partner of all that is allowed."""
    return {(at["channel"], it["purpose"], it.get("partner")) for at in body["points"] for it in at["allow"]}


async def test_a_lifting_that_cites_it_ends_it_where_it_covers(
    world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    who = Someone()
    await world.know(who)
    before = await world.allowed(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    kept = await listed(world, who)
    await restored(world, who)
    await restore(context, kept, 2)
    await opened(world)
    assert await world.allowed(who) < before
    post = {**EVERYTHING, "channels": (Channel.POST,)}
    await world.decide(world.by_id(who), Act.LIFTING, lifts=(ban,), **post)
    assert Channel.POST in await world.allowed(who)
    assert await world.allowed(who) < before
    assert await world.restrictions(who) == {ban}
    await world.decide(world.by_id(who), Act.LIFTING, lifts=(ban,), **EVERYTHING)
    assert await world.allowed(who) == before
    assert await world.restrictions(who) == set()


async def test_what_denied_then_besides_it_does_not_allow_when_that_is_lifted(
    world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    """Two bans were in force; the database has the first alone, which is then lifted."""
    who = Someone()
    await world.know(who)
    first = (await world.decide(world.by_id(who))).decision.id
    await world.decide(world.by_id(who))
    kept = await listed(world, who)
    await restored(world, who)
    await opened(world)
    await world.decide(world.by_id(who), id=first)
    denied = await world.allowed(who)
    await world.pool.execute("UPDATE epoch SET open = false")
    await restore(context, kept, 2)
    await opened(world)
    await world.decide(world.by_id(who), Act.LIFTING, lifts=(first,), **EVERYTHING)
    assert await world.allowed(who) == denied


async def test_what_the_record_allowed_for_some_product_groups_stays_allowed_for_those(
    world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    own = {"reach": Reach.COMPANY, "company": "kauppa", "purposes": (Purpose.OWN_MARKETING,)}
    email = {**own, "channels": (Channel.EMAIL,)}
    who = Someone()
    await world.know(who)
    await world.decide(world.by_id(who), Act.CONSENT, product_groups=("groceries",), **email)
    await world.decide(world.by_id(who), channels=(Channel.PHONE,), reach=Reach.GROUP)
    kept = await listed(world, who)
    await restored(world, who)
    await restore(context, kept, 2)
    await opened(world)
    await world.decide(world.by_id(who), Act.CONSENT, product_groups=("groceries", "household"), **email)
    body = await world.body(who)
    assert body is not None
    (at,) = [at for at in body["points"] if at["channel"] == Channel.EMAIL]
    assert [allow["product_groups"] for allow in at["allow"]] == [["groceries"]]


async def test_one_that_several_share_denies_each(world: ConsentsWorld, context: Context, pool: Pool) -> None:
    one = Someone()
    other = Someone(phone=one.phone)
    await world.know(one, other)
    before = await world.allowed(one), await world.allowed(other)
    await world.decide(world.by_phone(one.phone))
    denied = await world.allowed(one), await world.allowed(other)
    assert denied[0] < before[0]
    assert denied[1] < before[1]
    kept = await listed(world, one, other)
    await restored(world, one, other)
    first = dict(list(kept.items())[:1])
    await restore(context, first, 2)  # killed between two of them
    await restore(context, kept, 2)
    assert (await world.allowed(one), await world.allowed(other)) == denied


async def test_somebody_unknown_is_denied_when_they_come(
    world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    who = Someone()
    await world.know(who)
    await world.decide(world.by_id(who))
    denied = await world.allowed(who)
    kept = await listed(world, who)
    await restored(world)
    await pool.execute("DELETE FROM customer_refs")
    await pool.execute("DELETE FROM customers")
    await pool.execute("DELETE FROM records")
    await restore(context, kept, 2)
    await opened(world)
    who.n = 0
    await world.know(who)
    assert await world.allowed(who) == denied


async def test_a_record_that_nobody_can_read_denies_everything(
    world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    who = Someone()
    await world.know(who)
    kept = listed_in(Unreadable("value: JSON", str(who.id), Version(1, 4)))
    assert kept is not None
    await pool.execute("UPDATE epoch SET epoch = 2, open = false")
    await restore(context, {str(who.id): kept}, 2)
    assert await world.allowed(who) == set()


def test_what_lists_nothing_is_not_kept() -> None:
    none = CustomerPermissions(version="1.1", subject=uuid4(), changed_at=datetime.now(UTC))
    assert listed_in(Read(str(none.subject), none)) is None
    assert listed_in(Read("x", Customer(version="1.1", subject=UUID(int=1)))) is None
    assert listed_in(Unreadable("key: is no id of this topic")) is None


async def test_proof_is_asked_anew(world: ConsentsWorld, context: Context, pool: Pool) -> None:
    """What was published and acknowledged in an earlier epoch proves nothing in this one."""
    log, who, crm = PublicationLog(world), Someone(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    await log.acknowledge(crm, await log.publish(who) + 1)
    assert (await log.where(ban)).stage is Stage.APPLIED
    await pool.execute("UPDATE epoch SET epoch = 2, open = false")
    await restore(context, {}, 2)
    await pool.execute("UPDATE records SET epoch = 2")
    assert (await log.where(ban)).stage is Stage.UNPUBLISHED
    offset = await log.publish(who)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY
    await log.acknowledge(crm, offset + 1)
    assert (await log.where(ban)).stage is Stage.APPLIED
