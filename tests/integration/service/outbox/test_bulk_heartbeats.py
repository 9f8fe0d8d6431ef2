"""Beats on the bulk topics: they keep compaction going where nobody else writes, and vouch for nothing."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.local.servers.stack import Stack
from kielto import kafka
from kielto.events import control
from kielto.events.topics import PARTITIONS, Lane, all_topics
from kielto.service.outbox import bulk_lane
from kielto.subscriber.replica.follower import Follower
from tests.integration.service.support import Bench, bench, key
from tests.waiting import until


async def _everywhere(service: Bench) -> bool:
    entries = await service.log(Lane.BULK)
    return {e.partition for e in entries if isinstance(e.event, control.Beat)} == set(range(PARTITIONS))


async def test_every_bulk_partition_gets_beats_that_vouch_for_nothing(service: Bench) -> None:
    service.relay(Lane.BULK, gate=lambda: False)
    await until(lambda: _everywhere(service), "no beats on the bulk topic")
    beats = [e.event for e in await service.log(Lane.BULK) if isinstance(e.event, control.Beat)]
    assert {(beat.epoch, beat.n, beat.taken) for beat in beats} == {(1, 0, ())}


def test_they_are_an_hour_apart_at_most() -> None:
    assert bulk_lane.BEAT_AT_LEAST * 1000 * 24 <= 7 * 86_400_000


def test_a_follower_takes_no_freshness_from_them() -> None:
    follower = Follower(30, durable=False)
    beats = [control.Beat(epoch=1, term=2, n=n, generation=1, at=datetime.now(UTC)) for n in (1, 2)]
    follower.probe(0.0, {0: 0})
    follower.read(Lane.BULK, [(0, n, beat) for n, beat in enumerate(beats)])
    delta = follower.take()
    assert delta.beats == []
    assert not delta.news, "nothing to acknowledge at once"
    follower.read(Lane.EXPRESS, [(0, n, beat) for n, beat in enumerate(beats)])
    assert len(follower.take().beats) == 2


def test_services_watch_the_restrictions_topics_alone() -> None:
    for topic in all_topics(["company.a"]):
        pair = ".restrictions." in topic.name
        assert topic.vouches == pair
        assert (control.Beat in topic.carries) == (topic.config["cleanup.policy"] == "compact")


@pytest.fixture
async def compacting(tmp_path: Path) -> AsyncIterator[Bench]:
    """A broker of its own whose cleaner runs often, and a bulk topic that is bounded by max.compaction.lag."""
    with Stack(tmp_path / "stack", kafka={"log.cleaner.backoff.ms": "300"}) as stack:
        if not stack.kafka.managed:
            pytest.skip("KIELTO_KAFKA is set: its cleaner is not ours to hurry")
        async with bench(stack.postgres.create_database("plumbing"), stack.kafka.bootstrap) as made:
            topic = made.topics[made.family.bulk]
            lags = {"min.compaction.lag.ms": "0", "max.compaction.lag.ms": "1500"}
            hurried = replace(topic, name=f"{topic.name}.hurried", config=topic.config | lags)
            await kafka.create_topics(made.bootstrap, [hurried])
            made.family = replace(made.family, bulk=hurried.name)
            made.topics[hurried.name] = hurried
            yield made


@pytest.mark.slow
@pytest.mark.parametrize("beating", [True, False], ids=["beats", "none, planted"])
async def test_a_silent_bulk_topic_is_compacted(
    compacting: Bench, beating: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old versions of a person go within the bound although nobody writes; without beats they stay."""
    if not beating:
        monkeypatch.setattr(bulk_lane, "BEATS_APART", 10_000)
    compacting.relay(Lane.BULK)
    k = key()
    for n in range(3):
        await compacting.publish(k, str(n), express=False)
        await compacting.no_marks()

    async def one_is_left() -> bool:
        return [e.version for e in await compacting.log(Lane.BULK) if e.key == k] == ["1.3"]

    if beating:
        await until(one_is_left, "old versions stay", 60)
    else:
        with pytest.raises(AssertionError):
            await until(one_is_left, "old versions stay", 12)
