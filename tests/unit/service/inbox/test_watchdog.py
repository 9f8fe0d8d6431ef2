"""The consumers are begun again when one hangs, and only then: who works slowly, rests or tries again is left alone."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from kielto import kafka
from kielto.events.topics import PARTITIONS
from kielto.kafka import KafkaError, TopicPartition
from kielto.service.database.pool import Pool
from kielto.service.inbox import transactional, watchdog
from kielto.service.inbox.topic_reader import TopicReader, TransientError
from kielto.service.inbox.transactional import Intake
from kielto.service.inbox.watchdog import RestartConsumersError, Watchdog
from kielto.service.support import metrics
from kielto.service.support.bulk_throttle import PORTION, BulkThrottle

TOPIC, ID = "customers.facts.v1", UUID(int=7)
PLACE = TopicPartition(TOPIC, 0)


class Scene:
    """A watch over one reader, beside a topic and positions as they are told, on a clock that is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, batch: bool = True) -> None:
        self.end, self.position, self.now = 500, 0, time.monotonic()
        self.throttle = BulkThrottle(0.15)
        self.work: Callable[[], Awaitable[None]] = self.hang
        self.asked: Callable[[], Awaitable[None]] | None = None
        taking = SimpleNamespace(topic=TOPIC, take=self._take, take_batch=self._take)
        self.reader = TopicReader(cast(Pool, None), cast(Intake, taking), self.throttle, batch=batch)
        self.reader.subscriber = SimpleNamespace(consumer=None)
        self.watch = Watchdog(cast(Pool, None), self, {TOPIC: self.reader}, {TOPIC: ID}, cast(Any, None))
        monkeypatch.setattr(watchdog, "topic_ids", self._ids)
        monkeypatch.setattr(kafka, "end_offsets", self._ends)
        monkeypatch.setattr(kafka, "stepped_over", self._stepped_over)
        monkeypatch.setattr(transactional, "positions", self._positions)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    async def hang(self) -> None:
        await asyncio.Event().wait()

    async def look(self, after: float = 0.0) -> None:
        self.now += after
        await self.watch._look()

    async def polled(self, many: int = 1) -> "asyncio.Task[None]":
        """The reader is given something, and has it in hand."""
        records = [SimpleNamespace(topic=TOPIC, partition=0, offset=at) for at in range(many)]
        taking = asyncio.create_task(self.reader.take(records))
        await asyncio.sleep(0)
        return taking

    async def _take(self, _: Sequence[Any]) -> None:
        await self.work()

    async def _ids(self, *_: Any) -> dict[str, UUID]:
        return {TOPIC: ID}

    async def _ends(self, *_: Any) -> dict[TopicPartition, int]:
        return {TopicPartition(TOPIC, p): self.end if p == 0 else 0 for p in range(PARTITIONS)}

    async def _stepped_over(self, *_: Any) -> dict[TopicPartition, int]:
        return {}

    async def beginning_offsets(self, places: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(places, 0)

    async def _positions(self, *_: Any) -> dict[tuple[str, int], int]:
        found = {(TOPIC, 0): self.position}
        if self.asked is not None:
            await self.asked()
        return found


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


async def test_a_consumer_that_reads_nothing_is_begun_again(scene: Scene) -> None:
    await scene.look()
    await scene.look(after=19)
    with pytest.raises(RestartConsumersError, match=f"^{TOPIC}: messages wait"):
        await scene.look(after=2)


async def test_who_moves_or_has_nothing_to_read_is_left_alone(scene: Scene) -> None:
    for _ in range(5):
        scene.position += 1
        await scene.look(after=21)
    scene.position = scene.end
    for _ in range(5):
        await scene.look(after=21)


async def test_what_comes_after_a_quiet_time_is_given_its_time(scene: Scene) -> None:
    scene.position = scene.end
    await scene.look()
    await scene.look(after=3600)
    scene.end += 1  # just now: it cannot have been taken in
    await scene.look()
    await scene.look(after=19)
    with pytest.raises(RestartConsumersError):
        await scene.look(after=2)


@pytest.mark.parametrize("batch", [False, True])
async def test_a_slow_portion_is_left_alone_and_one_that_hangs_is_not(
    batch: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(monkeypatch, batch=batch)
    await scene.look()
    taking = await scene.polled()
    await scene.look(after=21)
    await scene.look(after=38)
    with pytest.raises(RestartConsumersError):
        await scene.look(after=2)
    taking.cancel()


async def test_each_portion_has_its_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a rest as long as it takes."""
    steps: asyncio.Queue[None] = asyncio.Queue()

    async def rest(_: float) -> None:
        await steps.get()

    async def work() -> None:
        await steps.get()

    async def step() -> None:
        steps.put_nowait(None)
        await asyncio.sleep(0)

    scene.work = work
    monkeypatch.setattr(scene.throttle, "rest", rest)
    scene.throttle.noticed()
    await scene.look()
    taking = await scene.polled(2 * PORTION)
    await scene.look(after=50)
    await step()  # rests
    await scene.look(after=300)
    await step()  # the second portion
    await scene.look(after=50)
    with pytest.raises(RestartConsumersError):
        await scene.look(after=11)
    taking.cancel()


async def test_what_is_committed_while_one_looks_is_seen_at_the_next_look(scene: Scene) -> None:
    """Positions that are read before, and a reader that is asked after, would look like one that hangs."""
    done = asyncio.Event()

    async def commit() -> None:
        done.set()
        await taking

    async def work() -> None:
        await done.wait()

    scene.work = work
    await scene.look()
    taking = await scene.polled()
    scene.asked = commit
    await scene.look(after=40)
    assert not scene.reader.busy


async def test_one_that_tries_again_is_left_alone_while_it_does(scene: Scene) -> None:
    async def fail() -> None:
        raise OSError

    scene.work = fail
    await scene.look()
    for _ in range(10):
        with pytest.raises(TransientError) as failed:
            await (await scene.polled())
        assert not scene.reader.busy
        scene.reader.back_off(failed.value)
        await scene.look(after=10)
    with pytest.raises(RestartConsumersError):
        await scene.look(after=11)


async def test_what_hung_before_is_not_in_hand_after_the_next_start(scene: Scene) -> None:
    taking = await scene.polled()
    assert scene.reader.busy
    await scene.reader.prepare(ID, cast(Any, None))
    assert not scene.reader.busy
    taking.cancel()


async def test_says_since_when_a_partition_stands_and_why(scene: Scene) -> None:
    await scene.look()
    assert metrics.INBOX_STANDING.labels(TOPIC)._value.get() == 0
    scene.reader.failed_to_read(
        logging.ERROR, "Kafka error occurred", exc_info=KafkaError("broker-7 said no")
    )
    await scene.look(after=10)
    assert metrics.INBOX_STANDING.labels(TOPIC)._value.get() == pytest.approx(10)
    with pytest.raises(RestartConsumersError, match="KafkaError") as restart:
        await scene.look(after=30)
    assert restart.value.cause == "KafkaError"
    assert "broker-7" not in str(restart.value)
    scene.position = scene.end
    await scene.look(after=5)
    assert metrics.INBOX_STANDING.labels(TOPIC)._value.get() == 0
