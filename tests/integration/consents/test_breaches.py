"""What was sent after a ban and its bound opens a case; nothing else does. In whatever order it is told."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from kielto.events.digests import digest_of
from kielto.events.envelope import Read
from kielto.events.messages import MarketingEvent, Unaddressed
from kielto.events.records import CustomerPoint
from kielto.events.words import Act, Channel, PointKind, Purpose, Recipient, Status
from kielto.service.http import Health, create_app
from kielto.service.inbox import Meta
from kielto.service.postgres import Pool, transaction
from kielto.subscriber.questions import Reason
from services.consents import metrics
from services.consents.api import breaches
from services.consents.store import clearances, deliveries
from services.consents.store.clearances import Asked, Result
from services.consents.subscribers import MarketingEvents
from services.consents.use_cases import detect
from services.consents.use_cases.context import Context, id_ref
from services.consents.use_cases.take_back import take_back
from tests.integration.consents.test_api import Tokens, as_, problem
from tests.integration.consents.test_take_back import listed
from tests.integration.consents.world import Someone, World, erased

NOW = datetime.now(UTC)
BOUND = 30  # the group's stale_seconds
CAMPAIGN = uuid4()


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


async def tell(
    pool: Pool, context: Context, who: Someone, claimed: datetime, told: datetime, **given: Any
) -> UUID:
    """marketing passes a report on, twice, and it is judged."""
    event = MarketingEvent(
        **(
            {
                "id": uuid4(),
                "what": "delivery",
                "customer": who.id,
                "company": "kauppa",
                "campaign": CAMPAIGN,
                "channel": Channel.PHONE,
                "purpose": Purpose.OWN_MARKETING,
                "at": claimed,
                "reported_at": told,
            }
            | given
        )
    )
    meta = Meta("marketing.events.v1", uuid4(), 0, 0, int(NOW.timestamp() * 1000))
    for _ in range(2):
        async with transaction(pool) as conn:
            await MarketingEvents(context).handle_batch(conn, [(Read(str(who.id), event), meta)] * 2)
    await detect.detect(pool, context)
    return event.id


def phone_of(context: Context, who: Someone | str) -> str:
    """What the company calls the phone."""
    number = who if isinstance(who, str) else who.phone
    return context.keys.point("company.kauppa", digest_of(PointKind.PHONE, number))


async def found(pool: Pool, ident: UUID) -> str | None:
    text: str | None = await pool.fetchval("SELECT found FROM deliveries WHERE id = $1", ident)
    return text


async def opened(pool: Pool) -> set[UUID]:
    return {row["id"] for row in await pool.fetch("SELECT id FROM breaches")}


@pytest.fixture
async def who(world: World) -> Someone:
    someone = Someone(("kauppa",))
    await world.know(someone)
    return someone


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
    world: World, pool: Pool, context: Context, who: Someone, claimed: float, told: float, what: str
) -> None:
    outcome = await world.decide(world.by_id(who), received_at=ago(100))
    ident = await tell(pool, context, who, ago(claimed), ago(told))

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
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), channels=(Channel.POST,), received_at=ago(100))
    assert await found(pool, await tell(pool, context, who, ago(50), ago(49))) == "not_banned"


async def test_lifted_and_banned_again_within_the_bound(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    ban = await world.decide(world.by_id(who), channels=(Channel.PHONE,), received_at=ago(300))
    await world.consent(
        who,
        Channel.PHONE,
        lifts=(ban.decision.id,),
        received_at=ago(200),
    )
    assert await found(pool, await tell(pool, context, who, ago(150), ago(149))) == "not_banned"
    assert await found(pool, await tell(pool, context, who, ago(250), ago(249))) == "after_ban"


async def test_a_ban_that_reaches_us_after_the_report(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    ident = await tell(pool, context, who, ago(50), ago(49))
    before = await tell(pool, context, who, ago(150), ago(149))
    assert await found(pool, ident) == "not_banned"

    await world.decide(world.by_phone(who.phone), received_at=ago(100))  # it lay in the company's topic
    await detect.detect(pool, context)
    assert await found(pool, ident) == "after_ban"
    assert await opened(pool) == {ident}
    assert await found(pool, before) == "not_banned"


async def test_a_late_ban_under_another_id_of_the_person(world: World, pool: Pool, context: Context) -> None:
    survivor, alias = Someone(), Someone()
    await world.know(survivor, alias)
    await world.know(survivor, aliases=(alias.id,))
    await world.know(alias, alias_of=survivor.id, status=Status.ALIAS, points=(), customerships=())
    told = [await tell(pool, context, who, ago(50), ago(49)) for who in (survivor, alias)]
    assert [await found(pool, ident) for ident in told] == ["not_banned"] * 2

    await world.decide(world.by_id(alias), received_at=ago(100))
    await detect.detect(pool, context)
    assert await opened(pool) == set(told)


async def with_a_contact(world: World) -> tuple[Someone, Someone]:
    """An organisation, and who acts for it."""
    organisation, contact = Someone(), Someone()
    await world.know(organisation, recipient=Recipient.LEGAL)
    await world.know(contact, recipient=Recipient.CONTACT, organisation=organisation.id)
    return organisation, contact


async def test_a_late_ban_of_an_organisation(world: World, pool: Pool, context: Context) -> None:
    organisation, contact = await with_a_contact(world)
    ident = await tell(pool, context, contact, ago(50), ago(49))
    assert await found(pool, ident) == "not_banned"

    await world.decide(world.by_id(organisation), received_at=ago(100))
    await detect.detect(pool, context)
    assert await opened(pool) == {ident}


async def test_a_ban_that_is_taken_in_again_after_a_restore(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    kept = {key: one._replace(at=ago(100)) for key, one in (await listed(world, who)).items()}
    await pool.execute("TRUNCATE decision_records, decisions, evidence, restored, salts, unsealed, heard")
    await pool.execute("DELETE FROM records")
    await world.know(who)
    ident = await tell(pool, context, who, ago(50), ago(49))
    assert await found(pool, ident) == "not_banned"

    await take_back(pool, context, kept, 1)
    await detect.detect(pool, context)
    assert await opened(pool) == {ident}


@pytest.mark.parametrize("claimed", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
async def test_a_clock_at_the_edge_of_the_calendar_stops_nothing(
    world: World, pool: Pool, context: Context, who: Someone, claimed: str
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    await tell(pool, context, who, datetime.fromisoformat(claimed), ago(49))
    ident = await tell(pool, context, who, ago(50), ago(49))
    assert await found(pool, ident) == "after_ban"


async def test_one_that_cannot_be_judged_keeps_no_other_waiting(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    broken = await tell(pool, context, who, ago(50), ago(49))
    await pool.execute("UPDATE deliveries SET claimed_at = '-infinity', found = NULL, look_at = 'epoch'")
    failed = metrics.deliveries_judged.labels("failed")._value.get()
    ident = await tell(pool, context, who, ago(50), ago(49))
    assert await found(pool, ident) == "after_ban"
    assert await found(pool, broken) is None
    assert metrics.deliveries_judged.labels("failed")._value.get() == failed + 1


async def test_somebody_whom_we_come_to_know_later(world: World, pool: Pool, context: Context) -> None:
    late = Someone(("kauppa",))
    await world.decide(world.by_id(late), received_at=ago(100))
    ident = await tell(pool, context, late, ago(50), ago(49))
    assert await found(pool, ident) is None

    await world.know(late)
    await pool.execute("UPDATE deliveries SET look_at = clock_timestamp()")  # an hour later
    await detect.detect(pool, context)
    assert await found(pool, ident) == "after_ban"


async def test_a_clearance_that_was_valid_is_the_bound(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    ref = id_ref("company.kauppa", world.key("company.kauppa", who))
    asked = Asked("kauppa", str(CAMPAIGN), "own_marketing", "phone", None, None, None, "test")
    async with transaction(pool) as conn:
        await clearances.add(conn, uuid4(), asked, 60, [Result(ref, Reason.ALLOWED, None)])
        await conn.execute("UPDATE clearances SET at = $1, valid_until = $2", ago(101), ago(41))
    assert await found(pool, await tell(pool, context, who, ago(45), ago(44))) == "within_bound"
    assert await found(pool, await tell(pool, context, who, ago(40), ago(39))) == "after_ban"


async def test_a_clearance_of_other_marketing_excuses_nothing(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), Act.OPT_OUT, received_at=ago(100))  # partners' marketing alone
    ref = id_ref("company.kauppa", world.key("company.kauppa", who))
    asked = Asked("kauppa", str(CAMPAIGN), "own_marketing", "phone", None, None, None, "test")
    async with transaction(pool) as conn:
        await clearances.add(conn, uuid4(), asked, 60, [Result(ref, Reason.ALLOWED, None)])
        await conn.execute("UPDATE clearances SET at = $1, valid_until = $2", ago(51), ago(41))
    given = {"purpose": Purpose.PARTNER_MARKETING, "partner": "matkat"}
    ident = await tell(pool, context, who, ago(45), ago(44), **given)
    assert await found(pool, ident) == "after_ban"


async def test_a_decision_that_comes_while_it_is_judged(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    ident = await tell(pool, context, who, ago(50), ago(49))
    await pool.execute("UPDATE deliveries SET found = NULL")
    [(delivery, round_)] = await deliveries.to_judge(pool, 10)
    await world.decide(world.by_id(who), received_at=ago(100))
    await deliveries.hear(pool)
    async with transaction(pool) as conn:
        assert not await deliveries.judged(conn, delivery, round_, "not_banned")
    await detect.detect(pool, context)
    assert await found(pool, ident) == "after_ban"


@pytest.fixture
async def http(pool: Pool, context: Context) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        "consents",
        [breaches.router(pool, context)],
        pool=pool,
        verifier=Tokens(),
        health=Health(claimed=True),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_an_officer_looks_at_a_case_and_closes_it(
    world: World, pool: Pool, context: Context, who: Someone, http: httpx.AsyncClient
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    ident = await tell(pool, context, who, ago(50), ago(49))
    everything, own, other = as_("dpo"), as_("dpo@kauppa"), as_("dpo@sahko")
    path = "/consents/breaches"

    shown = (await http.get(path, headers=everything)).json()["breaches"]
    assert [(b["id"], b["customer"], b["state"]) for b in shown] == [(str(ident), str(who.id), "open")]
    [mine] = (await http.get(path, headers=own)).json()["breaches"]
    assert mine["customer"] == world.key("company.kauppa", who)
    assert (await http.get(path, headers=other)).json()["breaches"] == []
    assert (await http.get(f"{path}/{ident}", headers=other)).status_code == 404

    why = {"state": "explained", "note": "a test call"}
    assert (await http.post(f"{path}/{ident}/close", json=why, headers=other)).status_code == 404
    assert (await http.post(f"{path}/{ident}/close", json=why, headers=as_("operator"))).status_code == 403
    assert (await http.post(f"{path}/{ident}/close", json=why | {"note": ""}, headers=own)).status_code == 422
    done = await http.post(f"{path}/{ident}/close", json=why, headers=own)
    assert (done.status_code, done.json()["state"], done.json()["note"]) == (200, "explained", "a test call")
    assert (await http.get(path, headers=everything, params={"state": "open"})).json()["breaches"] == []

    await tell(pool, context, who, ago(50), ago(49), id=ident)
    await pool.execute("UPDATE deliveries SET found = NULL")
    await detect.detect(pool, context)
    assert (await http.get(f"{path}/{ident}", headers=everything)).json()["state"] == "explained"


CHANGES: dict[str, dict[str, Any]] = {
    "point gone": {"points": ()},
    "deceased": {"deceased": True},
    "minor": {"minor": True},
    "safety ban": {"safety_ban": True},
    "customership over": {"active": ()},
}


@pytest.mark.parametrize(("how", "by"), [("erased", "id"), *product(CHANGES, ("id", "number"))])
async def test_facts_that_changed_since_excuse_nothing(
    world: World, pool: Pool, context: Context, who: Someone, how: str, by: str
) -> None:
    subject = world.by_id(who) if by == "id" else world.by_number(who)
    await world.decide(subject, received_at=ago(100))
    if how == "erased":
        await world.take_in([erased(who)])
    else:
        await world.know(who, **CHANGES[how])
    for point in (None, phone_of(context, who)):
        ident = await tell(pool, context, who, ago(50), ago(49), point=point)
        assert await found(pool, ident) == "after_ban"
    assert await found(pool, await tell(pool, context, who, ago(101), ago(101))) == "not_banned"


@pytest.mark.parametrize(
    "channel",
    [Channel.PUSH, Channel.ONLINE_DEVICE, Channel.ONLINE_LIST, Channel.AUTOMATED_CALL, Channel.DOOR],
)
async def test_whoever_is_banned_is_so_on_channels_without_an_address_too(
    world: World, pool: Pool, context: Context, who: Someone, channel: Channel
) -> None:
    other = Someone(("kauppa",))
    await world.know(other)
    await world.decide(world.by_id(who), received_at=ago(100))
    await world.decide(world.by_phone(other.phone), received_at=ago(100))
    assert await found(pool, await tell(pool, context, who, ago(50), ago(49), channel=channel)) == "after_ban"
    if channel is not Channel.AUTOMATED_CALL:  # which goes to that very phone
        ident = await tell(pool, context, other, ago(50), ago(49), channel=channel)
        assert await found(pool, ident) == "not_banned"


async def test_who_cannot_be_read_is_judged_when_they_can(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    await world.deny(who, 5)
    ident = await tell(pool, context, who, ago(50), ago(49))
    assert await found(pool, ident) is None
    who.n = 10
    await world.know(who)
    await pool.execute("UPDATE deliveries SET look_at = now()")  # an hour later
    await detect.detect(pool, context)
    assert await found(pool, ident) == "after_ban"


async def test_an_organisation_that_cannot_be_read_is_waited_for(
    world: World, pool: Pool, context: Context
) -> None:
    organisation, contact = await with_a_contact(world)
    await world.decide(world.by_phone(contact.phone), received_at=ago(100))
    await world.deny(organisation, 5)
    ident = await tell(pool, context, contact, ago(50), ago(49))
    assert await found(pool, ident) is None


OTHER_PHONE = "+358409998887"


async def with_two_phones(world: World, who: Someone) -> None:
    """The first is banned; the second came later."""
    await world.decide(world.by_phone(who.phone), received_at=ago(100))
    record = world.record(who)
    other = CustomerPoint(
        id=uuid4(), kind_of=PointKind.PHONE, digest=world.sealed(PointKind.PHONE, OTHER_PHONE)
    )
    await world.take_in([record.model_copy(update={"points": (*record.points, other)})])


async def test_the_address_that_was_used_is_judged_and_no_other(
    world: World, pool: Pool, context: Context, who: Someone, http: httpx.AsyncClient
) -> None:
    await with_two_phones(world, who)
    told = {
        point: await tell(pool, context, who, ago(50), ago(49), point=point)
        for point in (phone_of(context, who), phone_of(context, OTHER_PHONE), None, "f" * 64)
    }
    assert [await found(pool, ident) for ident in told.values()] == ["after_ban", *["not_banned"] * 3]
    assert await pool.fetchval("SELECT point FROM breaches") == who.phone_id
    for whose, shown in (("dpo", str(who.phone_id)), ("dpo@kauppa", None)):
        (case,) = (await http.get("/consents/breaches", headers=as_(whose))).json()["breaches"]
        assert case["point"] == shown


async def test_the_same_address_under_another_id_is_the_same(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_phone(who.phone), received_at=ago(100))
    who.phone_id = uuid4()
    await world.know(who)
    for point in (None, phone_of(context, who)):
        ident = await tell(pool, context, who, ago(50), ago(49), point=point)
        assert await found(pool, ident) == "after_ban"


@pytest.mark.parametrize("both", [True, False])
async def test_an_address_of_somebody_merged_away(
    world: World, pool: Pool, context: Context, both: bool
) -> None:
    """The survivor has it under an id of its own; or not yet, before its next record is there."""
    survivor, alias = Someone(("kauppa",)), Someone(("kauppa",))
    if both:
        alias.phone = survivor.phone
    await world.know(survivor, alias)
    await world.know(survivor, aliases=(alias.id,))
    await world.know(alias, alias_of=survivor.id, status=Status.ALIAS)
    await world.decide(world.by_phone(alias.phone), received_at=ago(100))
    ident = await tell(pool, context, alias, ago(50), ago(49), point=phone_of(context, alias))
    assert await found(pool, ident) == "after_ban"


@pytest.mark.parametrize(("channel", "what"), [(Channel.EMAIL, "not_banned"), (Channel.PHONE, "after_ban")])
async def test_a_contact_persons_own_consent_stands_beside_their_organisations_ban(
    world: World, pool: Pool, context: Context, channel: Channel, what: str
) -> None:
    organisation, contact = await with_a_contact(world)
    await world.consent(
        contact,
        Channel.EMAIL,
        received_at=ago(200),
    )
    await world.decide(world.by_id(organisation), received_at=ago(100))
    assert await found(pool, await tell(pool, context, contact, ago(50), ago(49), channel=channel)) == what


async def test_a_clearance_of_another_address_excuses_nothing(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    await with_two_phones(world, who)
    ref = id_ref("company.kauppa", world.key("company.kauppa", who))
    asked = Asked("kauppa", str(CAMPAIGN), "own_marketing", "phone", None, None, None, "test")
    for cleared, what in ((OTHER_PHONE, "after_ban"), (who.phone, "within_bound")):
        result = Result(ref, Reason.ALLOWED, None, address=world.by_phone(cleared).ref)
        async with transaction(pool) as conn:
            await clearances.add(conn, uuid4(), asked, 60, [result])
            await conn.execute("UPDATE clearances SET at = $1, valid_until = $2", ago(51), ago(41))
        ident = await tell(pool, context, who, ago(45), ago(44), point=phone_of(context, who))
        assert await found(pool, ident) == what


async def unaddressed(pool: Pool, context: Context, who: Someone, point: str | None = None) -> UUID:
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
    meta = Meta("marketing.events.v1", uuid4(), 0, 0, int(NOW.timestamp() * 1000))
    for _ in range(2):
        async with transaction(pool) as conn:
            await MarketingEvents(context).handle(conn, Read(subject, event), meta)
    await detect.detect(pool, context)
    return event.id


async def test_a_delivery_to_somebody_the_campaign_was_never_given(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    ident = await unaddressed(pool, context, who)
    assert await found(pool, ident) == "after_ban"
    (case,) = await pool.fetch("SELECT customer, campaign FROM breaches")
    assert (case["customer"], case["campaign"]) == (who.id, CAMPAIGN)


async def test_a_delivery_to_an_address_the_campaign_was_never_given(
    world: World, pool: Pool, context: Context, who: Someone
) -> None:
    await with_two_phones(world, who)
    assert await found(pool, await unaddressed(pool, context, who, phone_of(context, who))) == "after_ban"
    assert await found(pool, await unaddressed(pool, context, who)) == "not_banned"


async def test_a_delivery_to_a_stranger_waits_until_we_know_them(
    world: World, pool: Pool, context: Context
) -> None:
    """As after a restore, when deliveries are read again before the newest customers are."""
    late = Someone(("kauppa",))
    ident = await unaddressed(pool, context, late)
    await world.decide(world.by_id(late), received_at=ago(100))
    await detect.detect(pool, context)
    assert await found(pool, ident) is None

    await world.know(late)
    await detect.detect(pool, context)
    assert await found(pool, ident) == "after_ban"


async def test_cases_are_told_in_pages(
    world: World, pool: Pool, context: Context, who: Someone, http: httpx.AsyncClient
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    idents = {await tell(pool, context, who, ago(50), ago(49)) for _ in range(5)}
    order = sorted(idents, reverse=True)
    for place, ident in enumerate(
        order
    ):  # against the order of their ids, which tell two of the same time apart
        await pool.execute("UPDATE breaches SET opened_at = $2 WHERE id = $1", ident, ago(10 - place // 2))
    order[:4] = [order[1], order[0], order[3], order[2]]
    path, everything = "/consents/breaches", as_("dpo")
    pages: list[list[str]] = []
    after: dict[str, str] = {}
    while len(pages) < 5:
        page = (await http.get(path, headers=everything, params={"limit": "2"} | after)).json()
        pages.append([b["id"] for b in page["breaches"]])
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert pages == [[str(i) for i in order[n : n + 2]] for n in (0, 2, 4)]
    assert (await http.get(path, headers=everything)).json()["next"] is None
    assert (await http.get(path, headers=as_("dpo@sahko"), params=after)).json()["breaches"] == []
    for wrong in ("x", world.context.keys.seal(bytes(24) + b"overdue.")):
        refused = await http.get(path, headers=everything, params={"after": wrong})
        assert problem(refused) == (422, "invalid-request", ["after"])
