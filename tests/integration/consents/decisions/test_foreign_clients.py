"""What a company's own Kafka client may do: transactions, compression, bombs, garbage. consents goes on, and in doubt
denies.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from deploy.local import token
from deploy.local.services import Services
from kielto.events import envelope
from kielto.events.messages import Decision, DecisionSubject
from kielto.events.words import Act, Channel, Purpose
from tests.integration.consents.test_service import DECISIONS, ServicePlay, consents, playing
from tests.integration.consents.world import Someone
from tests.integration.kafka.foreign import Message, Transaction, transact, write
from tests.waiting import until

__all__ = ["consents"]

PARTY = "company.kauppa"


@pytest.fixture
async def play(consents: Services) -> AsyncIterator[ServicePlay]:
    async with playing(consents) as play:
        yield play


def said(subject: DecisionSubject, act: Act = Act.BAN, **given: Any) -> Decision:
    return Decision(**({"id": uuid4(), "subject": subject, "act": act, "said_at": datetime.now(UTC)} | given))


def message(decision: Decision, *, source: str = PARTY) -> Message:
    encoded = envelope.encode(decision, key=str(decision.id), source=source)
    return encoded.key, encoded.value, encoded.headers


def of(play: ServicePlay, who: Someone, act: Act = Act.BAN, **given: Any) -> Decision:
    return said(DecisionSubject(id=play.world.key(PARTY, who)), act, **given)


def yes(play: ServicePlay, who: Someone) -> Decision:
    return of(play, who, Act.CONSENT, purposes=(Purpose.OWN_MARKETING,), channels=(Channel.EMAIL,))


async def all_taken(play: ServicePlay, *decisions: Decision) -> bool:
    return all([await play.taken(decision) for decision in decisions])


async def nobody_is_held_up(play: ServicePlay, partition: int) -> None:
    """What comes next in the partition is taken in."""
    who = Someone()
    await play.introduce(who)
    ban = of(play, who)
    await write(play.services.stack.kafka.bootstrap, DECISIONS, partition, [message(ban)])
    await until(lambda: play.taken(ban))


async def discard_all(play: ServicePlay) -> None:
    for kept in (await play.call("GET", "/quarantine"))["messages"]:
        await call(play, f"/quarantine/{kept['id']}/discard", {"reason": "a test's"})


async def call(play: ServicePlay, path: str, body: Any, **who: Any) -> httpx.Response:
    bearer = token.issue(["dpo", "operator", "campaigns"], **who)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {bearer}"}, timeout=20) as client:
        return await client.post(f"{play.services.url('consents')}{path}", json=body)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_is_read(play: ServicePlay, codec: str) -> None:
    who = Someone()
    await play.introduce(who)
    bans = [of(play, who, evidence="x" * 1500) for _ in range(3)]
    settings = {"compression.type": codec, "linger.ms": 50}
    await write(play.services.stack.kafka.bootstrap, DECISIONS, 0, [message(ban) for ban in bans], **settings)
    await until(lambda: all_taken(play, *bans))
    assert await play.world.allowed(who) == set()


async def test_what_was_aborted_permits_nothing(play: ServicePlay) -> None:
    who = Someone()
    await play.introduce(who)
    before, consent = await play.world.allowed(who), yes(play, who)
    await transact(play.services.stack.kafka.bootstrap, DECISIONS, 3, [message(consent)], commit=False)
    await nobody_is_held_up(play, 3)
    assert not await play.taken(consent)
    assert await play.world.allowed(who) == before == {"phone", "post"}


async def test_what_is_open_permits_nothing_until_it_is_committed(play: ServicePlay) -> None:
    who, consent = Someone(), None
    await play.introduce(who)
    consent = yes(play, who)
    transaction = await Transaction.begin(play.services.stack.kafka.bootstrap, DECISIONS)
    await transaction.write(4, [message(consent)])
    await asyncio.sleep(3)
    assert not await play.taken(consent)
    await transaction.commit()
    await until(lambda: play.taken(consent))
    assert "email" in await play.world.allowed(who)


async def test_a_no_waits_for_no_transaction(play: ServicePlay) -> None:
    """In an open one, behind an open one of another producer, and in one that is aborted later."""
    inside, behind, after = Someone(), Someone(), Someone()
    await play.introduce(inside, behind, after)
    bootstrap = play.services.stack.kafka.bootstrap
    ban_inside, ban_behind, ban_after = (of(play, who) for who in (inside, behind, after))
    transaction = await Transaction.begin(bootstrap, DECISIONS)
    await transaction.write(5, [message(yes(play, after)), message(ban_inside)])
    await write(bootstrap, DECISIONS, 5, [message(ban_behind)])
    await until(lambda: all_taken(play, ban_inside, ban_behind), seconds=10)
    assert await play.world.allowed(inside) == await play.world.allowed(behind) == set()
    assert await play.world.allowed(after) == {"phone", "post"}, "a yes beside it waits"
    await transaction.abort()
    await write(bootstrap, DECISIONS, 5, [message(ban_after)])
    await until(lambda: play.taken(ban_after))
    assert len(await play.world.restrictions(inside)) == 1
    assert await play.quarantined() == [], "what is read a second time changes nothing"


@pytest.mark.parametrize("codec", ["gzip", "zstd", "lz4"])
async def test_a_bomb_is_not_unpacked(play: ServicePlay, codec: str) -> None:
    """100 MB of one letter in some 100 kB or less."""
    process = psutil.Process(play.services.processes["consents"].pid)
    key, value, headers = message(of(play, Someone()))
    assert value is not None
    bomb = value[:-1] + b',"x":"' + b"z" * (100 << 20) + b'"}'
    settings = {"compression.type": codec, "message.max.bytes": 1_000_000_000}
    if codec == "gzip":
        settings["compression.level"] = 9
    before = process.memory_info().rss
    high, done = before, asyncio.Event()

    async def watch() -> None:
        nonlocal high
        while not done.is_set():
            high = max(high, process.memory_info().rss)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    await write(play.services.stack.kafka.bootstrap, DECISIONS, 1, [(key, bomb, headers)], **settings)
    del bomb
    await nobody_is_held_up(play, 1)
    done.set()
    await watching
    grown = (high - before) / 2**20
    print(f"{codec}: resident memory grew by {grown:.0f} MB")
    assert grown < 60
    assert (await play.quarantined())[-1] == "batch: is too large when uncompressed"
    kept = await play.world.pool.fetchval("SELECT max(length(content)) FROM quarantine")
    assert kept < 4000
    await discard_all(play)


@pytest.mark.parametrize("source", ["company.sahko", "consents", "partner.matkat"])
async def test_who_says_another_source_has_its_no_taken_and_its_yes_refused(
    play: ServicePlay, source: str
) -> None:
    """The brokers say who may write here; a yes by somebody else's name is nobody's."""
    who, other = Someone(), Someone()
    await play.introduce(who, other)
    consent, ban = yes(play, who), of(play, other)
    messages = [message(consent, source=source), message(ban, source=source)]
    await write(play.services.stack.kafka.bootstrap, DECISIONS, 0, messages)
    await until(lambda: play.taken(ban))
    assert not await play.taken(consent)
    (kept,) = (await play.call("GET", "/quarantine"))["messages"]
    assert (kept["reason"], kept["holds"]) == ("ce_source: is not that of the topic's writer", False)
    assert await play.world.allowed(other) == set()
    await discard_all(play)


def recipients(play: ServicePlay, *people: Someone, **given: Any) -> dict[str, Any]:
    about = {"campaign": "spring", "purpose": "own_marketing", "channel": "phone"}
    return about | given | {"recipients": [{"customer": play.world.key(PARTY, who)} for who in people]}


async def reasons(play: ServicePlay, who: Someone) -> list[str]:
    answer = await call(play, "/clearances", recipients(play, who), company="kauppa")
    assert answer.status_code == 200, answer.text
    return [result["reason"] for result in answer.json()["results"]]


async def test_whom_an_unreadable_message_is_about_is_denied_until_it_is_settled(play: ServicePlay) -> None:
    who, other = Someone(("kauppa", "sahko")), Someone(("kauppa", "sahko"))
    await play.introduce(who, other)
    before = await play.world.allowed(who)
    key = play.world.key(PARTY, who).encode()
    _, _, headers = message(of(play, who))
    await write(play.services.stack.kafka.bootstrap, DECISIONS, 2, [(key, b"{", headers)])

    async def denied() -> bool:
        return await play.world.allowed(who) == set()

    await until(denied)
    assert await play.world.allowed(who, "company.sahko") == set(), "it may be a no in the whole group"
    assert await play.published(who), "on the lane of restrictions"
    assert await reasons(play, who) == ["denied"]
    assert await reasons(play, other) == ["allowed"]
    await discard_all(play)
    assert await play.world.allowed(who) == before
    assert await reasons(play, who) == ["allowed"]


@pytest.mark.parametrize("key", [b"k", None, b"f" * 64, "another's", "a decision's"])
async def test_a_message_that_may_be_about_anybody_closes_its_own_company_only(
    play: ServicePlay, key: Any
) -> None:
    who = Someone(("kauppa", "sahko"))
    await play.introduce(who)
    keys = play.world.keys
    named = {
        "another's": keys.pairwise("company.sahko", who.id),
        "a decision's": keys.pairwise(PARTY, uuid4()),
    }
    raw = named[key].encode() if key in named else key
    await write(play.services.stack.kafka.bootstrap, DECISIONS, 2, [(raw, b"{", message(of(play, who))[2])])

    async def held() -> bool:
        return bool((await play.call("GET", "/quarantine"))["messages"])

    await until(held)
    answer = await call(play, "/clearances", recipients(play, who), company="kauppa")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:kielto:problem:unreadable-decision")
    for_sahko = recipients(play) | {"recipients": [{"customer": play.world.key("company.sahko", who)}]}
    answer = await call(play, "/clearances", for_sahko, company="sahko")
    assert answer.status_code == 200, "nobody else learns of it"
    await discard_all(play)
    assert await reasons(play, who) == ["allowed"]


async def test_an_officer_of_a_company_sees_and_settles_its_own(play: ServicePlay) -> None:
    await write(
        play.services.stack.kafka.bootstrap, DECISIONS, 2, [(b"k", b"{", message(of(play, Someone()))[2])]
    )

    async def listed(**who: Any) -> Any:
        bearer = token.issue(["dpo"], **who)
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {bearer}"}) as client:
            return (await client.get(f"{play.services.url('consents')}/quarantine")).json()["messages"]

    await until(listed)
    assert await listed(company="sahko") == []
    (kept,) = await listed(company="kauppa")
    assert (kept["topic"], kept["holds"]) == (DECISIONS, True)
    assert kept["reason"].startswith("value: ")
    path, why = f"/quarantine/{kept['id']}", {"reason": "it was a test"}
    for step in ("discard", "replay"):
        assert (await call(play, f"{path}/{step}", why, company="sahko")).status_code == 404
    assert (await call(play, f"{path}/replay", why, company="kauppa")).status_code == 409
    assert (await call(play, f"{path}/discard", {}, company="kauppa")).status_code == 422
    assert (await call(play, f"{path}/discard", why, company="kauppa")).status_code == 204
    assert (await call(play, f"{path}/discard", why, company="kauppa")).status_code == 404
