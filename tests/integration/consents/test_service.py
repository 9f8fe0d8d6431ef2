"""consents as a process, on real PostgreSQL and Kafka; customers, marketing and the companies are played here."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4, uuid5

import httpx
import pytest

from deploy.local import token
from deploy.local.servers.kafka import Kafka
from deploy.local.servers.stack import Stack
from deploy.local.services import Services
from kielto import proof, seals
from kielto.clock import utc_now
from kielto.events import control, envelope
from kielto.events.digests import digest_of
from kielto.events.messages import Acknowledgement, Decision, DecisionSubject, MarketingEvent, Position
from kielto.events.records import Permissions
from kielto.events.topics import CUSTOMERS, MARKETING_EVENTS, Lane, acks, decisions, permissions_of
from kielto.events.words import Act, Channel, PointKind, Purpose, Reach
from kielto.service.database.pool import open_pool
from kielto.service.support.crypto_keys import Keys
from services.consents.use_cases.context import Context, decision_id
from tests.databases import drop_database
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.neighbours import BEAT_SECONDS, Neighbours
from tests.waiting import until

KAUPPA = permissions_of("company.kauppa")
DECISIONS = decisions("company.kauppa")


@pytest.fixture(scope="module")
def consents(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """One process for all tests, on a broker of its own: the topics' names are fixed."""
    folder = tmp_path_factory.mktemp("consents")
    kafka = Kafka(folder / "kafka")
    kafka.start()
    ground = cast(Stack, SimpleNamespace(postgres=stack.postgres, kafka=kafka))
    modules = {"consents": "services.consents"}
    services = Services(ground, folder / "services", beat_seconds=BEAT_SECONDS, modules=modules)
    try:
        services.start()
        yield services
    finally:
        services.stop()
        kafka.stop()
        drop_database(stack.postgres, "kielto_consents")


@dataclass
class ServicePlay:
    """What a test acts upon. `world` looks into the database of the process."""

    services: Services
    world: ConsentsWorld
    others: Neighbours
    instance: UUID = field(default_factory=uuid4)

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token.issue(['desk', 'dpo', 'operator'])}"}
        async with httpx.AsyncClient(headers=headers, timeout=20) as client:
            answer = await client.request(method, f"{self.services.url('consents')}{path}", json=body)
        assert answer.is_success, answer.text
        return cast(dict[str, Any], answer.json())

    async def introduce(self, *people: Someone) -> None:
        records = [(str(who.id), self.world.record(who)) for who in people]
        await self.others.write(CUSTOMERS.bulk, "customers", *records)

        async def known() -> bool:
            return all([await self.world.body(who, "consents") for who in people])

        await until(known)

    async def ban(self, who: Someone, **given: Any) -> dict[str, Any]:
        body = {"subject": {"customer": str(who.id)}, "act": "ban"} | given
        return await self.call("POST", "/decisions", body)

    async def said(self, subject: DecisionSubject, act: Act = Act.BAN, **given: Any) -> Decision:
        """A desk of kauppa sends it; returns at once."""
        decision = Decision(
            **({"id": uuid4(), "subject": subject, "act": act, "said_at": datetime.now(UTC)} | given)
        )
        await self.others.write(DECISIONS, "company.kauppa", (str(decision.id), decision))
        return decision

    async def taken(self, decision: Decision) -> bool:
        ident = decision_id("company.kauppa", decision.id)
        return bool(await self.world.pool.fetchval("SELECT count(*) FROM decisions WHERE id = $1", ident))

    async def quarantined(self) -> list[str]:
        return [r["reason"] for r in await self.world.pool.fetch("SELECT reason FROM quarantine ORDER BY id")]

    async def published(self, who: Someone, lane: Lane = Lane.EXPRESS) -> list[Permissions]:
        found = await self.others.read_all(
            KAUPPA.topic(lane), (Permissions, control.Beat, control.SnapshotComplete)
        )
        key = self.world.key("company.kauppa", who)
        return [cast(Permissions, stood.read.event) for stood in found if stood.read.key == key]

    async def acknowledge(self, subscriber: str = "kauppa-crm") -> None:
        """The subscriber has applied everything that stands in its topics now."""
        positions = [
            Position(topic=topic, topic_id=await self.others.topic_id(topic), partition=p, offset=end)
            for topic in (KAUPPA.topic(lane) for lane in Lane)
            for p, end in (await self.others.ends(topic)).items()
        ]
        ack = Acknowledgement(
            subscriber=subscriber,
            instance=self.instance,
            generation=self.instance,
            positions=tuple(positions),
            claimed_at=datetime.now(UTC),
        )
        await self.others.write(acks("company.kauppa"), "company.kauppa", (subscriber, ack))


@pytest.fixture
async def play(consents: Services) -> AsyncIterator[ServicePlay]:
    async with playing(consents) as play:
        yield play


@asynccontextmanager
async def playing(consents: Services) -> AsyncIterator[ServicePlay]:
    keys = Keys.load(consents.keys_folder / "services.keys.json")
    pool = await open_pool(consents.dsns["consents"], name="test", size=3)
    try:
        async with Neighbours.beside(consents.stack.kafka.bootstrap) as world:
            yield ServicePlay(consents, ConsentsWorld(Context(pool, consents.group, keys, utc_now)), world)
    finally:
        await pool.close()


def denied(records: list[Permissions]) -> bool:
    return bool(records) and not any(point.allow for point in records[-1].points)


async def test_the_way_of_a_ban(play: ServicePlay) -> None:
    who, other = Someone(("kauppa",)), Someone(("kauppa",))
    await play.introduce(who, other)
    await until(lambda: play.published(who, Lane.BULK))
    await play.acknowledge()

    receipt = await play.ban(who)
    records = await until(lambda: play.published(who))
    assert denied(records)
    assert str(records[-1].version) == "1.2"
    assert records[-1].decision == play.world.keys.pairwise("company.kauppa", UUID(receipt["decision"]))
    assert await play.published(other) == []

    path = f"/decisions/{receipt['decision']}/whereabouts"
    found = {s["subscriber"]: s for s in (await play.call("GET", path))["subscribers"]}
    assert set(found) == {"kauppa-crm", "kauppa-campaigns"}, "nobody else has a record of the person"
    assert found["kauppa-crm"]["stage"] == "on_the_way"
    await play.acknowledge()

    async def applied() -> Any:
        subscribers = (await play.call("GET", path))["subscribers"]
        return next((s for s in subscribers if s["subscriber"] == "kauppa-crm" and s["applied_at"]), None)

    assert (await until(applied))["stage"] == "applied"
    standing = {s["id"]: s for s in (await play.call("GET", "/subscribers"))["subscribers"]}
    assert standing["kauppa-crm"]["late_seconds"] == 0
    assert standing["kauppa-campaigns"]["late_seconds"] == -1

    again = await play.ban(who)
    path = f"/decisions/{again['decision']}/whereabouts"
    found = {s["subscriber"]: s for s in (await play.call("GET", path))["subscribers"]}
    found = {
        s["subscriber"]: s
        for s in (await play.call("GET", path.replace(receipt["decision"], again["decision"])))["subscribers"]
    }
    assert found["kauppa-crm"]["stage"] == "held", "it changed nothing that the store did not hold"


async def test_the_log_of_decisions_is_sealed_and_checked(play: ServicePlay, tmp_path: Path) -> None:
    who = Someone()
    await play.introduce(who)
    receipt = await play.ban(who)

    async def sealed() -> bool:
        return bool(await play.world.pool.fetchval("SELECT NOT EXISTS (SELECT FROM unsealed)"))

    await until(sealed)
    found = await play.call("GET", f"/decisions/{receipt['decision']}/proof")
    keys = seals.key_set(await play.call("GET", "/proof-keys"))
    document, head = proof.verify(json.dumps(found), keys)
    assert document.leaf < head.size
    assert head.epoch >= 1

    async def run(*words: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.consents", "seals", *words),
            stdout=asyncio.subprocess.PIPE,
            env=play.services.environment("consents"),
        )
        out, _ = await process.communicate()
        return process.returncode, out.decode()

    anchor = tmp_path / "head.json"
    code, said = await run("head")
    assert code == 0
    anchor.write_text(said)
    code, said = await run("verify", "--anchor", str(anchor))
    assert (code, any(line.endswith("all of it holds") for line in said.splitlines())) == (0, True), said


async def test_decisions_of_a_company(play: ServicePlay) -> None:
    people = [Someone(("kauppa", "sahko")) for _ in range(4)]
    by_id, by_number, by_phone, later = people
    await play.introduce(by_id, by_number, by_phone)
    keys = play.world
    number = digest_of(PointKind.NUMBER, by_number.number("kauppa")).hex()
    phone = digest_of(PointKind.PHONE, by_phone.phone).hex()
    bans = [
        await play.said(DecisionSubject(id=keys.key("company.kauppa", by_id))),
        await play.said(DecisionSubject(number=number)),
        await play.said(DecisionSubject(point=phone, point_kind=PointKind.PHONE), route="sms_stop"),
        await play.said(DecisionSubject(id=keys.key("company.kauppa", later)), route="never heard of"),
    ]
    for ban in bans:
        await until(partial(play.taken, ban))
    before = len(await play.quarantined())
    for who in (by_id, by_number):
        assert await play.world.allowed(who) == await play.world.allowed(who, "company.sahko") == set()
    assert await play.world.allowed(by_phone) == {"phone", "post"}
    assert len(await play.world.restrictions(by_phone)) == 1
    await play.introduce(later)
    assert await play.world.allowed(later) == set()
    assert len(await play.quarantined()) == before


@pytest.mark.parametrize(
    "words",
    [
        {"channels": ["fax"]},
        {"said_at": "20261130"},
        {"said_at": 20261130, "purposes": ["own_marketing", "telemarketing"]},
        {"evidence": "x" * 2001, "reach": "everybody", "route": "x" * 50},
    ],
)
async def test_a_ban_whose_words_cannot_be_read_binds_at_their_widest(
    play: ServicePlay, words: dict[str, Any]
) -> None:
    who = Someone(("kauppa", "sahko"))
    await play.introduce(who)
    before = len(await play.quarantined())
    ban = Decision(
        id=uuid4(),
        subject=DecisionSubject(id=play.world.key("company.kauppa", who)),
        act=Act.BAN,
        said_at=datetime.now(UTC),
    )
    message = envelope.encode(ban, key=str(ban.id), source="company.kauppa")
    value = json.dumps(json.loads(message.value) | words).encode()
    await play.others.write_raw(DECISIONS, message.key, value, message.headers)
    await until(lambda: play.taken(ban))
    assert await play.world.allowed(who) == await play.world.allowed(who, "company.sahko") == set()
    ident = decision_id("company.kauppa", ban.id)
    row = await play.world.pool.fetchrow("SELECT * FROM decisions WHERE id = $1", ident)
    assert row is not None
    assert {rule.partition(":")[0].partition(".")[0] for rule in row["widened"]} == set(words)
    assert abs(row["said_at"] - row["received_at"]) < timedelta(minutes=1), "the broker's time"
    assert len(await play.quarantined()) == before


async def test_a_lifting_that_overtakes_its_ban(play: ServicePlay) -> None:
    who = Someone(("kauppa", "sahko"))
    await play.introduce(who)
    subject = DecisionSubject(id=play.world.key("company.kauppa", who))
    ban = Decision(id=uuid4(), subject=subject, act=Act.BAN, said_at=datetime.now(UTC), reach=Reach.COMPANY)
    await play.said(
        subject,
        Act.LIFTING,
        reach=Reach.COMPANY,
        purposes=tuple(Purpose),
        channels=tuple(Channel),
        lifts=(str(ban.id),),
    )
    await asyncio.sleep(0.2)  # the ban may stand in another partition
    await play.others.write(DECISIONS, "company.kauppa", (str(ban.id), ban))
    await until(lambda: play.taken(ban))
    assert await play.world.allowed(who) == {"phone", "post"}
    assert await play.world.restrictions(who) == set()


async def test_what_a_company_cannot_say_is_kept_aside_and_the_rest_applied(play: ServicePlay) -> None:
    who, stranger = Someone(), Someone(("sahko",))
    await play.introduce(who, stranger)
    before = len(await play.quarantined())
    mine = DecisionSubject(id=play.world.key("company.kauppa", who))
    yes: dict[str, Any] = {"purposes": (Purpose.OWN_MARKETING,), "channels": (Channel.EMAIL,)}
    expected = [
        (await play.said(mine, Act.CONSENT, reach=Reach.GROUP, **yes), "reach"),
        (await play.said(mine, Act.CONSENT, by="staff", **yes), "by"),
        (await play.said(mine, Act.LIFTING, lifts=("f" * 64,)), "lifts"),
        (await play.said(DecisionSubject(id="f" * 64), Act.CONSENT, **yes), "subject"),
    ]
    message = envelope.encode(expected[0][0], key=str(uuid4()), source="company.kauppa")
    await play.others.write_raw(DECISIONS, message.key, b"{", message.headers)
    await play.others.write_raw(DECISIONS, message.key, message.value, [("ce_type", None)])
    await play.said(mine, reach=Reach.PARTNER, partner="nobody")
    ban = await play.said(mine, Act.OPT_OUT, purposes=(Purpose.OWN_MARKETING,))
    again = await play.said(mine, id=ban.id, purposes=(Purpose.RESEARCH,))
    own = uuid5(
        decision_id("company.kauppa", ban.id), play.world.keys.blind_index("decision", again.content()).hex()
    )

    async def all_taken() -> bool:
        return len(await play.world.restrictions(who)) == 3

    await until(all_taken)
    assert {own, decision_id("company.kauppa", ban.id)} < await play.world.restrictions(who)

    async def all_aside() -> bool:
        return len(await play.quarantined()) == before + 2

    await until(all_aside)  # a yes without effect is told to the party (test_results.py), and pages nobody
    assert await play.world.allowed(who) == set()
    held = [r["holds"] for r in await play.world.pool.fetch("SELECT holds FROM quarantine ORDER BY id")]
    assert sum(held[before:]) == 2, "only what cannot be read at all may be a no"


async def test_a_topic_that_is_read_again_changes_nothing(play: ServicePlay) -> None:
    who = Someone(("kauppa",))
    await play.introduce(who)
    subject = DecisionSubject(id=play.world.key("company.kauppa", who))
    ban = await play.said(subject)
    await until(lambda: play.taken(ban))
    lifting = await play.said(subject, Act.LIFTING, reach=Reach.COMPANY, lifts=(str(ban.id),))
    await until(lambda: play.taken(lifting))
    version = await play.world.version(who, "consents")
    count = await play.world.pool.fetchval("SELECT count(*) FROM decisions")
    place = 'SELECT sum("offset") FROM positions WHERE topic = $1'
    end = await play.world.pool.fetchval(place, DECISIONS)
    process = play.services.processes["consents"]
    for _ in range(2):
        await asyncio.to_thread(process.stop)
        await play.world.pool.execute("DELETE FROM positions")
        await asyncio.to_thread(process.start)
        await asyncio.to_thread(play.services.wait, "consents")

        async def read_again() -> bool:
            return bool(await play.world.pool.fetchval(place, DECISIONS) == end)

        await until(read_again)
    assert await play.world.version(who, "consents") == version
    assert await play.world.pool.fetchval("SELECT count(*) FROM decisions") == count
    assert await play.world.restrictions(who) == {decision_id("company.kauppa", ban.id)}, (
        "a group's ban stays in part"
    )


async def test_a_ban_while_kafka_is_away(play: ServicePlay) -> None:
    who = Someone(("kauppa",))
    await play.introduce(who)
    await asyncio.to_thread(play.services.stack.kafka.stop)
    began = time.monotonic()
    receipt = await play.ban(who)
    assert time.monotonic() - began < 5
    assert receipt["status"] == "in_force"
    await asyncio.to_thread(play.services.stack.kafka.start)

    async def sent() -> bool:
        return denied(await play.published(who))

    await until(sent)


async def test_beats_only_while_what_is_known_of_customers_is_fresh(play: ServicePlay) -> None:
    topic = KAUPPA.topic(Lane.EXPRESS)

    async def beats() -> list[control.Beat]:
        found = await play.others.read_all(topic, (Permissions, control.Beat))
        return [stood.read.event for stood in found if isinstance(stood.read.event, control.Beat)]

    await asyncio.sleep(8 * BEAT_SECONDS)
    claimed = len(await beats())
    await asyncio.sleep(4 * BEAT_SECONDS)
    assert len(await beats()) == claimed, "nobody knows whether a death or a merge was missed"
    await play.world.pool.execute("UPDATE quarantine SET state = 'discarded'")
    async with play.others.beating(CUSTOMERS):
        ban = await play.said(DecisionSubject(id="e" * 64))
        await until(lambda: play.taken(ban))
        end = sum((await play.others.ends(DECISIONS)).values())

        async def told() -> bool:
            found = await beats()
            return len(found) > claimed and bool(found[-1].taken) and sum(found[-1].taken[0].offsets) == end

        await until(told)
        message = envelope.encode(ban, key="e" * 64, source="company.kauppa")
        await play.others.write_raw(DECISIONS, message.key, b"{", message.headers)
        last = ban.model_copy(update={"id": uuid4()})  # behind it, in the same partition
        await play.others.write(DECISIONS, "company.kauppa", ("e" * 64, last))
        await until(lambda: play.taken(last))

        async def held() -> bool:
            return sum((await beats())[-1].taken[0].offsets) == end

        await asyncio.sleep(4 * BEAT_SECONDS)
        assert await held(), "what cannot be read may be a no"
        await play.world.pool.execute("UPDATE quarantine SET state = 'discarded'")
        end += 2
        await until(held)
    assert (await beats())[-1].taken[0].topic == DECISIONS


async def test_a_disclosure_and_a_record_that_nobody_can_read(play: ServicePlay) -> None:
    who, garbled = Someone(), Someone()
    await play.introduce(who, garbled)
    event = MarketingEvent(
        id=uuid4(),
        what="disclosure",
        customer=who.id,
        company="kauppa",
        partner="matkat",
        at=datetime.now(UTC),
    )
    await play.others.write(MARKETING_EVENTS, "marketing", (str(event.id), event))
    await until(lambda: play.world.body(who, "partner.matkat"))
    message = envelope.encode(play.world.record(garbled), key=str(garbled.id), source="customers")
    await play.others.write_raw(CUSTOMERS.topic(Lane.EXPRESS), message.key, b"{", message.headers)

    async def shut() -> bool:
        return await play.world.allowed(garbled) == set()

    await until(shut)
    assert await play.world.allowed(who) == {"phone", "post"}
