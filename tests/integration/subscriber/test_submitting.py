"""Decisions taken at the company: denied at once, on disk, sent, and denied until the group has taken them in."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers.kafka import Kafka
from kielto.events.digests import InvalidContactPointError, digest_of
from kielto.events.topics import Lane, decisions
from kielto.events.words import Act, PointKind
from kielto.subscriber import MemoryStore, Question, Reason, SpoolInUseError, Subscriber
from tests.integration.subscriber.conftest import Follow
from tests.integration.subscriber.customers import POINT_KEY, by_address, by_id, customer, open_with
from tests.integration.subscriber.relay import HandDrivenRelay, new_party
from tests.unit.subscriber.logs import hexes
from tests.waiting import until

SUBMITTED = "a decision that was submitted here denies it"


async def sent(relay: HandDrivenRelay, count: int) -> list[str]:
    """The ids of the decisions on the topic, each at its first place, once there are so many."""
    async with asyncio.timeout(20):
        while len(found := dict.fromkeys(d.id for d in await relay.decided())) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return [str(ident) for ident in found]


async def test_from_the_desk_to_the_group_and_back(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, "a", "b")
        ident = await kielto.submit("ban", email="A@example.com")
        assert kielto.may(by_address("a")).detail == SUBMITTED
        assert kielto.may(by_id("a")).detail == SUBMITTED
        assert kielto.may(by_id("b"))
        assert await sent(relay, 1) == [str(ident)]
        (decision,) = await relay.decided()
        assert decision.subject.point == digest_of(PointKind.EMAIL, "a@example.com").hex()
        await asyncio.sleep(4 * relay.beat_seconds)  # beats that say nothing of it end nothing
        assert kielto.may(by_id("a")).detail == SUBMITTED
        await relay.put(Lane.EXPRESS, customer("a", "1.2", allowed=False))
        await relay.take_in_decisions()
        await until(lambda: kielto.may(by_id("a")).detail == "no permission")


async def test_a_denial_survives_a_restart_and_a_yes_denies_nothing(
    relay: HandDrivenRelay, follow: Follow
) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, "a", "b")
        no = await kielto.submit(Act.BAN, customer=hexes("a"))
        yes = await kielto.submit(
            Act.CONSENT, customer=hexes("b"), purposes=["own_marketing"], channels=["email"]
        )
        assert kielto.may(by_id("b"))
        assert await sent(relay, 2) == [str(no), str(yes)]
    async with follow(store=MemoryStore()) as kielto:
        async with asyncio.timeout(20):
            await kielto.ready()
        assert kielto.may(by_id("a")).detail == SUBMITTED
        await relay.take_in_decisions()
        await until(
            lambda: kielto.may(by_id("a"))
        )  # what the group says counts: it did not take it for a ban
    async with follow(store=MemoryStore()) as kielto:
        async with asyncio.timeout(20):
            await kielto.ready()
        assert kielto.may(by_id("a"))
        assert {d.id for d in await relay.decided()} == {no, yes}  # one may be sent again after a restart


async def test_the_same_decision_twice_is_one(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        ident = await kielto.submit("ban", number="123")
        assert await kielto.submit("ban", number="123", ident=ident) == ident
        assert await sent(relay, 1) == [str(ident)]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"reach": "partner"}, "partner"),
        ({"reach": "group", "partner": "matkat"}, "partner"),
        ({"reach": "partners", "purposes": ["own_marketing"]}, "purposes"),
        ({"act": "opt_out", "purposes": ["own_marketing"]}, "purposes"),
        ({"lifts": ["x"]}, "lifts"),
        ({"act": "lifting"}, "lifts"),
    ],
)
async def test_what_does_not_go_together_is_asked_back(
    relay: HandDrivenRelay, follow: Follow, given: dict[str, Any], field: str
) -> None:
    """Nothing is denied, nothing is on its way: whoever is at the desk says it again."""
    async with follow() as kielto:
        await open_with(kielto, relay, "a")
        with pytest.raises(ValueError, match=f"^{field}: "):
            await kielto.submit(**{"act": "ban", "customer": hexes("a")} | given)
        assert kielto.may(by_id("a"))
        after = await kielto.submit("ban", number="1")
        assert await sent(relay, 1) == [str(after)]


async def test_an_id_that_says_something_else(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, "a", "b")
        no = await kielto.submit("ban", customer=hexes("a"))
        with pytest.raises(ValueError, match=r"^id: "):
            await kielto.submit("opt_out", customer=hexes("b"), ident=no)
        assert kielto.may(by_id("a")).detail == SUBMITTED
        assert kielto.may(by_id("b"))
        assert await sent(relay, 1) == [str(no)]


async def test_one_sent_to_a_topic_that_is_gone_is_sent_again(
    relay: HandDrivenRelay, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kielto.subscriber.submit.sender.CHECK_SECONDS", 0.5)
    async with follow() as kielto:
        await open_with(kielto, relay, "a")
        ident = await kielto.submit("ban", customer=hexes("a"))
        await sent(relay, 1)
        await relay.recreate(decisions(relay.party))
        assert await sent(relay, 1) == [str(ident)]
        assert kielto.may(by_id("a")).detail == SUBMITTED
        await relay.take_in_decisions()
        await until(lambda: kielto.may(by_id("a")))


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, ValueError),
        ({"email": "a@example.com", "number": "1"}, ValueError),
        ({"customer": "secret"}, ValueError),
        ({"email": "secret"}, InvalidContactPointError),
        ({"phone": ""}, InvalidContactPointError),
        ({"phone": "0405550002 secret"}, InvalidContactPointError),
        ({"number": "1", "reach": "secret"}, ValueError),
        ({"number": "1", "evidence": "secret " * 1000}, ValueError),
    ],
)
async def test_what_cannot_be_a_decision_is_refused_without_repeating_it(
    follow: Follow, given: dict[str, str], error: type[Exception]
) -> None:
    async with follow() as kielto:
        with pytest.raises(error) as refused:
            await kielto.submit("ban", **given)  # type: ignore[arg-type]
        assert "secret" not in str(refused.value)


async def test_without_a_spool_nothing_is_taken(follow: Follow) -> None:
    async with follow(spool=None) as kielto:
        with pytest.raises(ValueError, match="spool"):
            await kielto.submit("ban", number="1")


async def test_kafka_away_at_first_and_away_in_between(kafka: Kafka, tmp_path: Path) -> None:
    """A ban is taken with Kafka stopped, denied at once and after a restart, and sent in order when it is back."""
    party = new_party()

    def subscriber() -> Subscriber:
        return Subscriber(
            subscriber="crm", party=party, bootstrap=kafka.bootstrap, point_keys={1: POINT_KEY},
            store=MemoryStore(), spool=tmp_path / "spool", stale_seconds=3.0, flush_seconds=0.5,
        )  # fmt: skip

    question = Question("own_marketing", "email", customer=hexes("a"))
    kafka.stop()
    async with subscriber() as kielto:
        first = await kielto.submit("ban", customer=hexes("a"))
        assert not kielto.may(question)
    assert kielto.unsent == [first]
    async with subscriber() as kielto:
        second = await kielto.submit("opt_out", customer=hexes("a"))
        await asyncio.to_thread(kafka.start)
        async with HandDrivenRelay(kafka.bootstrap, party) as relay:
            await open_with(kielto, relay, "a", "b")
            assert await sent(relay, 2) == [str(first), str(second)]
            assert kielto.may(question).detail == SUBMITTED
            assert kielto.may(by_id("b"))
            await asyncio.to_thread(kafka.stop)
            third = await kielto.submit("ban", email="b@example.com")
            await until(lambda: kielto.shut() is Reason.STALE)
            await asyncio.to_thread(kafka.start)
            assert await sent(relay, 3) == [str(first), str(second), str(third)]
            await until(lambda: kielto.may(by_id("b")).detail == SUBMITTED, seconds=30)


async def test_leaving_waits_until_all_is_sent(relay: HandDrivenRelay, follow: Follow) -> None:
    """A program that takes a ban and ends has told the group of it."""
    async with follow() as kielto:
        said = [await kielto.submit("ban", number=f"A{n}") for n in range(1, 21)]
    assert kielto.unsent == []
    assert {d.id for d in await relay.decided()} == set(said)


async def test_leaving_after_an_error_sends_too(relay: HandDrivenRelay, follow: Follow) -> None:
    async def program() -> None:
        async with follow() as kielto:
            await kielto.submit("ban", number="1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await program()
    assert len(await relay.decided()) == 1


async def test_what_could_not_be_sent_is_told(follow: Follow, caplog: pytest.LogCaptureFixture) -> None:
    """No longer than `flush_seconds`; the decision is on disk."""
    async with follow(bootstrap="127.0.0.1:9", flush_seconds=0.3) as kielto:
        ident = await kielto.submit("ban", number="1")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await kielto.sent(ident)
    assert kielto.unsent == [ident]
    assert "1 decisions were not sent" in caplog.text


async def test_waiting_for_one_decision(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        no = await kielto.submit("ban", number="1")
        await kielto.sent(no)
        assert [d.id for d in await relay.decided()] == [no]
        yes = await kielto.submit("consent", number="1", purposes=["own_marketing"], channels=["email"])
        await kielto.sent(yes)
        await kielto.sent(yes)
        assert [d.id for d in await relay.decided()] == [no, yes]


async def test_two_subscribers_on_one_spool_are_refused(follow: Follow) -> None:
    async with follow() as kielto:
        with pytest.raises(SpoolInUseError):
            async with follow(store=MemoryStore()):
                raise AssertionError
        await kielto.submit("ban", number="1")
