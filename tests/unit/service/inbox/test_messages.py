"""The relay's bytes are the envelope's; the partitioner is aiokafka's; delivery counts prefixes only."""

import asyncio
from datetime import UTC
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from kielto.events import envelope
from kielto.events.records import Allow, AllowedPoint, Customer, Permissions, Record
from kielto.events.topics import CUSTOMERS, Lane, permissions_of
from kielto.events.words import Status
from kielto.kafka import partition_of
from kielto.service.outbox import pending
from kielto.service.outbox.batch_send import Delivered, OutboxMessage, deliver
from kielto.service.outbox.pending import Marked
from kielto.service.support import tracing

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
POINTS = st.builds(
    AllowedPoint,
    point=HEX,
    channel=st.text(max_size=8),
    allow=st.lists(st.builds(Allow, purpose=st.text(max_size=8)), max_size=2).map(tuple),
)
PERMISSIONS = st.builds(
    Permissions,
    version=st.just("12.345"),
    status=st.sampled_from([Status.LIVE, Status.ALIAS]),
    subject=HEX,
    points=st.lists(POINTS, max_size=3).map(tuple),
    changed_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    decision=st.none() | HEX,
)
CUSTOMERS_ = st.builds(Customer, version=st.just("12.345"), subject=st.uuids(), minor=st.booleans())


@given(PERMISSIONS | CUSTOMERS_)
def test_stored_bodies_become_the_envelopes_bytes(record: Record) -> None:
    key = str(record.model_dump()["subject"])
    family = CUSTOMERS if isinstance(record, Customer) else permissions_of("company.a")
    body = record.model_dump_json(exclude={"version"}, exclude_defaults=True)
    marked = Marked(family, key, 12, 345, body, None, [1])
    message = pending.message(marked, Lane.EXPRESS, lambda _family, _key, kept: kept)
    expected = envelope.encode(record, key=key, source=family.writer)
    assert (message.key, message.value) == (expected.key, expected.value)
    names = [name for name, _ in message.headers if name != "traceparent"]
    assert names == [name for name, _ in expected.headers]
    read = envelope.read((family.record,), message.key, message.value, message.headers)
    assert isinstance(read, envelope.Read)
    assert read.event == record


def test_our_own_topics_keep_the_trace_and_parties_get_a_fresh_one() -> None:
    ours = tracing.fresh()
    trace = {}
    for family in (CUSTOMERS, permissions_of("company.a"), permissions_of("partner.b")):
        marked = Marked(family, "k", 1, 1, '{"subject":"k"}', ours, [1])
        pending.message(marked, Lane.BULK, lambda _family, _key, kept: kept)
        assert marked.sent
        assert marked.sent != ours
        trace[family.name] = tracing.trace_id(marked.sent)
    assert trace["customers"] == tracing.trace_id(ours)
    assert len(set(trace.values())) == 3


@given(st.binary(min_size=1, max_size=80), st.integers(1, 50))
def test_the_partitioner_is_aiokafkas(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions


@given(st.text(max_size=70))
def test_a_traceparent_is_continued_only_when_it_is_one(text: str) -> None:
    begun = tracing.begin(text)
    assert tracing.current() == begun
    assert tracing.trace_id(begun) not in text
    again = tracing.begin(begun)
    assert tracing.trace_id(again) == tracing.trace_id(begun)
    assert again != begun


class FakeBatch:
    """As aiokafka's builder: full after two messages."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, timestamp: None, key: bytes, value: bytes, headers: object) -> object | None:
        if len(self.values) == 2:
            return None
        self.values.append(value)
        return object()


class FatedProducer:
    """Answers as told by the first value of each batch; anything else is acknowledged."""

    def __init__(self, fates: dict[bytes, Any]) -> None:
        self.fates, self.sent = fates, list[bytes]()
        self._next: dict[tuple[str, int], int] = {}

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        fate = self.fates.get(batch.values[0])
        if fate == "refuse":
            raise TimeoutError
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.sent += batch.values
        if isinstance(fate, Exception):
            answer.set_exception(fate)
        else:
            base = self._next.get((topic, partition), 100)
            self._next[topic, partition] = base + len(batch.values)
            answer.set_result(type("Metadata", (), {"offset": -1 if fate == "unknown" else base}))
        return answer


def messages(*places: tuple[int, bytes]) -> list[OutboxMessage]:
    return [OutboxMessage("t", partition, b"k", value, []) for partition, value in places]


async def test_offsets_come_in_the_order_given() -> None:
    given = messages((0, b"a"), (1, b"b"), (0, b"c"), (0, b"d"), (1, b"e"))
    delivered = await deliver(FatedProducer({}), given)
    assert delivered.offsets == [100, 100, 101, 102, 101]
    assert delivered.error is None


@pytest.mark.parametrize("fate", ["refuse", "unknown", OSError("x")], ids=str)
async def test_nothing_behind_a_failure_counts_in_its_partition(fate: Any) -> None:
    given = messages((0, b"a"), (0, b"b"), (0, b"c"), (0, b"d"), (0, b"e"), (1, b"f"))
    delivered = await deliver(FatedProducer({b"c": fate}), given)
    assert delivered.offsets == [100, 101, None, None, None, 100]
    assert delivered.error is not None


async def test_nothing_is_nothing() -> None:
    assert await deliver(FatedProducer({}), []) == Delivered([], None)
