"""A report that names the address is held against bans of that address, by whatever id it is known."""

from uuid import UUID, uuid4

import httpx
import pytest

from kielto.events.envelope import Read
from kielto.events.messages import Unaddressed
from kielto.events.records import CustomerPoint
from kielto.events.words import Channel, PointKind, Purpose, Status
from kielto.service.database.pool import Pool, transaction
from services.consents.consumers.facts import MarketingEventsConsumer
from services.consents.model.clearance import ClearanceReason, ClearanceRequest
from services.consents.model.ref import Ref
from services.consents.store import clearances
from services.consents.store.clearances import Result
from services.consents.use_cases import breaches
from services.consents.use_cases.context import Context
from tests.integration.consents.reported import (
    CAMPAIGN,
    META,
    ago,
    found,
    http,
    phone_of,
    tell,
    who,
    with_a_contact,
)
from tests.integration.consents.world import ConsentsWorld, Someone, a_part
from tests.tokens import as_

__all__ = ["http", "who"]  # fixtures


@pytest.mark.parametrize(
    "channel",
    [Channel.PUSH, Channel.ONLINE_DEVICE, Channel.ONLINE_LIST, Channel.AUTOMATED_CALL, Channel.DOOR],
)
async def test_whoever_is_banned_is_so_on_channels_without_an_address_too(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone, channel: Channel
) -> None:
    other = Someone(("kauppa",))
    await world.know(other)
    await world.decide(world.by_id(who), received_at=ago(100))
    await world.decide(world.by_phone(other.phone), received_at=ago(100))
    assert await found(pool, await tell(context, who, ago(50), ago(49), channel=channel)) == "after_ban"
    if channel is not Channel.AUTOMATED_CALL:  # which goes to that very phone
        ident = await tell(context, other, ago(50), ago(49), channel=channel)
        assert await found(pool, ident) == "not_banned"


OTHER_PHONE = "+358409998887"


async def with_two_phones(world: ConsentsWorld, who: Someone) -> None:
    """The first is banned; the second came later."""
    await world.decide(world.by_phone(who.phone), received_at=ago(100))
    record = world.record(who)
    other = CustomerPoint(
        id=uuid4(), kind_of=PointKind.PHONE, digest=world.encrypted(PointKind.PHONE, OTHER_PHONE)
    )
    await world.take_in([record.model_copy(update={"points": (*record.points, other)})])


async def test_the_address_that_was_used_is_judged_and_no_other(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone, http: httpx.AsyncClient
) -> None:
    await with_two_phones(world, who)
    told = {
        point: await tell(context, who, ago(50), ago(49), point=point)
        for point in (phone_of(context, who), phone_of(context, OTHER_PHONE), None, "f" * 64)
    }
    assert [await found(pool, ident) for ident in told.values()] == ["after_ban", *["not_banned"] * 3]
    assert await pool.fetchval("SELECT point FROM breaches") == who.phone_id
    for whose, shown in (("dpo", str(who.phone_id)), ("dpo@kauppa", None)):
        (case,) = (await http.get("/consents/breaches", headers=as_(whose))).json()["breaches"]
        assert case["point"] == shown


async def test_the_same_address_under_another_id_is_the_same(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_phone(who.phone), received_at=ago(100))
    who.phone_id = uuid4()
    await world.know(who)
    for point in (None, phone_of(context, who)):
        ident = await tell(context, who, ago(50), ago(49), point=point)
        assert await found(pool, ident) == "after_ban"


@pytest.mark.parametrize("both", [True, False])
async def test_an_address_of_somebody_merged_away(
    world: ConsentsWorld, pool: Pool, context: Context, both: bool
) -> None:
    """The survivor has it under an id of its own; or not yet, before its next record is there."""
    survivor, alias = Someone(("kauppa",)), Someone(("kauppa",))
    if both:
        alias.phone = survivor.phone
    await world.know(survivor, alias)
    await world.know(survivor, aliases=(alias.id,))
    await world.know(alias, alias_of=survivor.id, status=Status.ALIAS)
    await world.decide(world.by_phone(alias.phone), received_at=ago(100))
    ident = await tell(context, alias, ago(50), ago(49), point=phone_of(context, alias))
    assert await found(pool, ident) == "after_ban"


@pytest.mark.parametrize(("channel", "what"), [(Channel.EMAIL, "not_banned"), (Channel.PHONE, "after_ban")])
async def test_a_contact_persons_own_consent_stands_beside_their_organisations_ban(
    world: ConsentsWorld, pool: Pool, context: Context, channel: Channel, what: str
) -> None:
    organisation, contact = await with_a_contact(world)
    await world.consent(contact, Channel.EMAIL, received_at=ago(200))
    await world.decide(world.by_id(organisation), received_at=ago(100))
    assert await found(pool, await tell(context, contact, ago(50), ago(49), channel=channel)) == what


async def test_a_clearance_of_another_address_excuses_nothing(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    await with_two_phones(world, who)
    ref = Ref.of_party("company.kauppa", world.key("company.kauppa", who))
    asked = ClearanceRequest("kauppa", str(CAMPAIGN), "own_marketing", "phone", None, None, None, "test")
    for cleared, what in ((OTHER_PHONE, "after_ban"), (who.phone, "within_bound")):
        result = Result(ref, ClearanceReason.ALLOWED, None, address=world.by_phone(cleared).ref)
        async with transaction(pool) as conn:
            await clearances.add(conn, a_part(), asked, [result])
            await conn.execute("UPDATE clearances SET at = $1, valid_until = $2", ago(51), ago(41))
        ident = await tell(context, who, ago(45), ago(44), point=phone_of(context, who))
        assert await found(pool, ident) == what


async def unaddressed(context: Context, who: Someone, point: str | None = None) -> UUID:
    """marketing passes on, twice, what somebody got whom the campaign was never given."""
    subject = context.keys.pairwise("company.kauppa", who.id)
    event = Unaddressed(
        id=uuid4(),
        party="company.kauppa",
        subject=subject,
        company="kauppa",
        campaign=CAMPAIGN,
        channel=Channel.PHONE,
        purpose=Purpose.OWN_MARKETING,
        at=ago(50),
        reported_at=ago(49),
        point=point,
    )
    for _ in range(2):
        async with transaction(context.pool) as conn:
            await MarketingEventsConsumer(context).handle(conn, Read(subject, event), META)
    await breaches.detect(context)
    return event.id


async def test_a_delivery_to_somebody_the_campaign_was_never_given(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    ident = await unaddressed(context, who)
    assert await found(pool, ident) == "after_ban"
    (case,) = await pool.fetch("SELECT customer, campaign FROM breaches")
    assert (case["customer"], case["campaign"]) == (who.id, CAMPAIGN)


async def test_a_delivery_to_an_address_the_campaign_was_never_given(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone
) -> None:
    await with_two_phones(world, who)
    assert await found(pool, await unaddressed(context, who, phone_of(context, who))) == "after_ban"
    assert await found(pool, await unaddressed(context, who)) == "not_banned"


async def test_a_delivery_to_a_stranger_waits_until_we_know_them(
    world: ConsentsWorld, pool: Pool, context: Context
) -> None:
    """As after a restore, when deliveries are read again before the newest customers are."""
    late = Someone(("kauppa",))
    ident = await unaddressed(context, late)
    await world.decide(world.by_id(late), received_at=ago(100))
    await breaches.detect(context)
    assert await found(pool, ident) is None

    await world.know(late)
    await breaches.detect(context)
    assert await found(pool, ident) == "after_ban"
