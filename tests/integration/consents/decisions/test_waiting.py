"""A yes of a party's topic that comes before its customer does."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.events.digests import digest_of
from kielto.events.envelope import Read
from kielto.events.messages import Decision, DecisionSubject
from kielto.events.results import ResultStatus
from kielto.events.words import Channel, PointKind
from kielto.service.database.pool import Pool, transaction
from kielto.service.inbox.handlers import Meta
from services.consents.consumers.decisions import DecisionsConsumer
from services.consents.consumers.subscriptions import deciding_again
from services.consents.use_cases.context import Context, decision_id
from services.consents.use_cases.decisions import wait
from tests.integration.consents.decisions.test_results import PARTY, YES, CompanyDesk
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.integration.consents.world import erased as as_erased

DAY = 86_400_000


@pytest.fixture
def desk(world: ConsentsWorld, pool: Pool, context: Context) -> CompanyDesk:
    return CompanyDesk(world, pool, context)


async def statuses(desk: CompanyDesk) -> list[str]:
    return [result.status.value for result in await desk.told()]


async def work_off(desk: CompanyDesk, context: Context) -> None:
    while await wait.work_off(context, deciding_again(context)):
        pass


async def allows_sms(world: ConsentsWorld, who: Someone) -> bool:
    body = await world.body(who, PARTY)
    return any(at["channel"] == Channel.SMS and at["allow"] for at in (body or {}).get("points", ()))


def subjects(world: ConsentsWorld, who: Someone) -> dict[str, DecisionSubject]:
    return {
        "id": DecisionSubject(id=world.key(PARTY, who)),
        "number": DecisionSubject(number=digest_of(PointKind.NUMBER, who.number("kauppa")).hex()),
        "phone": DecisionSubject(
            point=digest_of(PointKind.PHONE, who.phone).hex(), point_kind=PointKind.PHONE
        ),
    }


@pytest.mark.parametrize("by", ["id", "number", "phone"])
async def test_it_counts_when_the_customer_comes(
    desk: CompanyDesk, world: ConsentsWorld, context: Context, pool: Pool, by: str
) -> None:
    who = Someone()
    said = await desk.say(subjects(world, who)[by], **YES)
    await desk.send(said)
    await work_off(desk, context)
    assert await statuses(desk) == ["waiting", "repeated"]
    assert not await pool.fetchval("SELECT count(*) FROM decisions")
    await world.know(Someone())
    await work_off(desk, context)
    assert await statuses(desk) == ["waiting", "repeated"], "somebody else came"
    await world.know(who)
    assert not await allows_sms(world, who)
    await work_off(desk, context)
    assert await statuses(desk) == ["waiting", "repeated", "taken"]
    received: datetime = await pool.fetchval("SELECT received_at FROM decisions")
    assert received.timestamp() == 1_800_000_000, "the time of the topic"
    assert not await pool.fetchval("SELECT count(*) FROM waiting")
    assert {result.decision for result in await desk.told()} == {
        world.keys.pairwise(PARTY, decision_id(PARTY, said.id))
    }
    known = Someone()
    await world.know(known)
    await desk.say(subjects(world, known)[by], **YES)
    assert await allows_sms(world, who) == await allows_sms(world, known), "as if it had come afterwards"
    assert await allows_sms(world, who) == (by != "phone"), "a bare number's yes says nothing of a person"


@pytest.mark.parametrize("cites", [False, True])
async def test_a_no_received_meanwhile_stays_unless_it_is_cited(
    desk: CompanyDesk, world: ConsentsWorld, context: Context, cites: bool
) -> None:
    who, ban_id = Someone(), uuid4()
    subject = subjects(world, who)["id"]
    given = YES | ({"lifts": (str(ban_id),)} if cites else {})
    await desk.say(subject, **given)
    await desk.say(subject, id=ban_id)
    await world.know(who)
    await work_off(desk, context)
    assert await statuses(desk) == ["waiting", "taken", "taken"]
    assert await allows_sms(world, who) is cites


async def test_it_lifts_only_what_is_the_partys_own(
    desk: CompanyDesk, world: ConsentsWorld, context: Context
) -> None:
    who = Someone(("kauppa", "sahko"))
    await desk.say(subjects(world, who)["id"], **YES | {"lifts": ("f" * 64,)})
    foreign = await world.decide(world.by_phone(who.phone))
    await desk.say(subjects(world, who)["id"], **YES | {"lifts": (str(foreign.decision.id),)})
    await world.know(who)
    await work_off(desk, context)
    assert (await statuses(desk))[2:] == ["refused", "taken"]
    assert not await allows_sms(world, who), "an id that is not the party's own lifts nothing"


async def test_an_id_that_waits_says_one_thing(desk: CompanyDesk, world: ConsentsWorld) -> None:
    who = Someone()
    said = await desk.say(subjects(world, who)["id"], **YES)
    await desk.send(said.model_copy(update={"channels": (Channel.EMAIL,)}))
    found = await desk.told()
    assert [result.status for result in found] == [ResultStatus.WAITING, ResultStatus.REFUSED]
    assert [why.field for why in found[1].reasons] == ["id"]


async def test_whoever_is_no_customer_of_the_company_waits_alike_and_ends_alike(
    desk: CompanyDesk, world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    """A stranger, another company's customer, and one of them who is erased meanwhile."""
    theirs, erased, nobody = (Someone(("sahko",)) for _ in range(3))
    for who in (theirs, erased):
        await world.know(who)
    for who in (theirs, erased, nobody):
        await desk.say(subjects(world, who)["phone"], **YES)
    await world.take_in([as_erased(erased)])
    await world.know(theirs)
    await work_off(desk, context)
    kept = await pool.fetch('SELECT ref IS NULL AS bare, encrypted FROM waiting ORDER BY "offset"')
    assert [row["bare"] for row in kept] == [False, True, False]
    assert kept[1]["encrypted"] is None
    assert await statuses(desk) == ["waiting"] * 3
    await pool.execute(f"UPDATE waiting SET timestamp_ms = extract(epoch FROM now()) * 1000 - {8 * DAY}")
    await wait.expire(context)
    ends = (await desk.told())[3:]
    told: list[Any] = [r.model_dump(include={"status", "reasons", "decision", "partition"}) for r in ends]
    assert told[0] == told[1] == told[2]
    assert {r.status for r in ends} == {ResultStatus.REFUSED}
    assert [why.field for why in ends[0].reasons] == ["subject"]
    assert len({r.id for r in ends}) == 3
    await wait.expire(context)
    assert len(await desk.told()) == 6


async def test_it_is_taken_once_by_two_processes_and_after_a_kill(
    desk: CompanyDesk, world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    who = Someone()
    await desk.say(subjects(world, who)["id"], **YES)
    await world.know(who)
    again = deciding_again(context)

    async def killed(*given: Any) -> bool:
        await again(*given)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        await wait.work_off(context, killed)
    assert await statuses(desk) == ["waiting"]
    await asyncio.gather(*(wait.work_off(context, again) for _ in range(4)))
    await work_off(desk, context)
    assert await statuses(desk) == ["waiting", "taken"]
    assert await pool.fetchval("SELECT count(*) FROM decisions") == 1


@pytest.mark.parametrize("content", [b"{}", b"\xff", None], ids=["no decision", "no text", "another key"])
async def test_one_that_can_be_read_no_more_keeps_no_other_waiting(
    desk: CompanyDesk, world: ConsentsWorld, context: Context, pool: Pool, content: bytes | None
) -> None:
    """Kept under another key, or by a version that understood more."""
    who = Someone()
    first = await desk.say(subjects(world, who)["id"], **YES)
    await desk.say(subjects(world, who)["number"], **YES)
    ident = decision_id(PARTY, first.id)
    encrypted = (
        b"x" * 40
        if content is None
        else context.keys.message_cipher.encrypt(content, f"waiting/{PARTY}/{ident}")
    )
    await pool.execute("UPDATE waiting SET encrypted = $2 WHERE decision = $1", ident, encrypted)
    await world.know(who)
    await work_off(desk, context)
    assert await statuses(desk) == ["waiting", "waiting", "refused", "taken"]
    assert (await desk.told())[2].id == first.id
    assert not await pool.fetchval("SELECT count(*) FROM waiting")


async def test_sent_again_once_known_it_is_taken_once(
    desk: CompanyDesk, world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    who = Someone()
    said = await desk.say(subjects(world, who)["id"], **YES)
    await world.know(who)
    await desk.send(said)
    await work_off(desk, context)
    assert await statuses(desk) == ["waiting", "taken", "repeated"]
    assert await pool.fetchval("SELECT count(*) FROM decisions") == 1


async def test_so_many_of_a_party_wait_and_those_above_are_refused(
    world: ConsentsWorld, context: Context, pool: Pool
) -> None:
    desk = CompanyDesk(
        world, pool, replace(context, limits=context.limits.model_copy(update={"waiting_yeses": 2}))
    )
    people = [Someone(("kauppa",)), Someone(("sahko",)), Someone(("sahko",)), Someone()]
    await world.know(people[1])
    said = [await desk.say(subjects(world, who)["phone"], **YES) for who in people[:3]]
    assert await statuses(desk) == ["waiting", "waiting", "refused"]
    assert [why.field for why in (await desk.told())[2].reasons] == ["subject"]
    await desk.send(said[0])
    await world.know(people[3])
    await desk.say(subjects(world, people[3])["id"], **YES)
    assert (await statuses(desk))[3:] == ["repeated", "taken"], "who is known waits for nobody"
    await world.know(people[0])
    await work_off(desk, context)
    await desk.say(subjects(world, people[2])["phone"], **YES)
    assert (await statuses(desk))[-2:] == ["taken", "waiting"], "there is room again"
    await _say(DecisionsConsumer(context, "company.sahko"), pool, said[2])
    assert await pool.fetchval("SELECT count(*) FROM waiting WHERE party = 'company.sahko'") == 1, "its own"


async def _say(handler: DecisionsConsumer, pool: Pool, said: Decision) -> None:
    meta = Meta("company.sahko.decisions.v1", UUID(int=2), 2, 1, 1_800_000_000_000)
    async with transaction(pool) as conn:
        await handler.handle(conn, Read(str(said.id), said), meta)
