"""Send many messages and wait for all the broker's answers: one batch per partition, no task per message.

What a partition has acknowledged is always a prefix of what was given. After a failure nothing behind it counts as
sent, so the order stays when it is sent again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from kielto import kafka
from kielto.errors import KieltoError

ANSWER_SECONDS = 120.0
"""A broker that is away is waited for; only a client that never answers is given up after this time."""


class OutboxMessage(NamedTuple):
    topic: str
    partition: int
    key: bytes
    value: bytes | None
    """None is a tombstone."""
    headers: list[tuple[str, bytes]]


class Delivered(NamedTuple):
    offsets: list[int | None]
    """By message: its offset, or None if it was not acknowledged, so that it may or may not be in the topic."""
    error: BaseException | None
    """Why an offset is None, unless the topic rejected the record."""
    refused: Mapping[str, BaseException] = MappingProxyType({})
    """By topic that rejects a record permanently (`kafka.REFUSED`): the reason. The other topics went on."""


class NoAnswerError(Exception):
    """The Kafka client neither delivered nor failed within ANSWER_SECONDS."""


class LaneStoppedError(KieltoError):
    """A lane stops: a message was not acknowledged, or its leadership ended. The next leader begins again from the
    marks.
    """


class _Batch:
    __slots__ = ("answer", "builder", "indexes")

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.indexes: list[int] = []
        self.answer: asyncio.Future[Any] | None = None


async def deliver(producer: Any, messages: Sequence[OutboxMessage]) -> Delivered:
    """Send the messages, each partition in the given order. Raises nothing but CancelledError."""
    partitions = _batches(producer, messages)
    refused: dict[str, BaseException] = {}
    error = await _submit(producer, partitions, refused)
    if error is None:
        await _answers(partitions, refused)
    return _collect(len(messages), partitions, error, refused)


async def _answers(
    partitions: dict[tuple[str, int], list[_Batch]], refused: dict[str, BaseException]
) -> None:
    """Wait for all answers, or for the first failure of a topic that does not reject records."""
    left = {
        b.answer: topic for (topic, _), batches in partitions.items() for b in batches if b.answer is not None
    }
    until = asyncio.get_running_loop().time() + ANSWER_SECONDS
    while left:
        timeout = until - asyncio.get_running_loop().time()
        done, _ = await asyncio.wait(left, timeout=timeout, return_when=asyncio.FIRST_EXCEPTION)
        failures = [(left.pop(a), a.exception() if not a.cancelled() else NoAnswerError()) for a in done]
        refused |= {topic: f for topic, f in failures if isinstance(f, kafka.REFUSED)}
        if not done or any(f is not None and topic not in refused for topic, f in failures):
            return


def _batches(producer: Any, messages: Sequence[OutboxMessage]) -> dict[tuple[str, int], list[_Batch]]:
    partitions: dict[tuple[str, int], list[_Batch]] = {}
    for index, message in enumerate(messages):
        batches = partitions.setdefault((message.topic, message.partition), [])
        if not (batches and _append(batches[-1], message)):
            batches.append(_Batch(producer.create_batch()))
            _append(batches[-1], message)  # a first message is always taken
        batches[-1].indexes.append(index)
    return partitions


def _append(batch: _Batch, message: OutboxMessage) -> bool:
    """Append a message to the batch; return False when the batch is full."""
    appended = batch.builder.append(
        timestamp=None, key=message.key, value=message.value, headers=message.headers
    )
    return appended is not None


async def _submit(
    producer: Any, partitions: dict[tuple[str, int], list[_Batch]], refused: dict[str, BaseException]
) -> BaseException | None:
    """Send every partition's first batch, then every second one: a second batch waits until the first has left."""
    depth = max((len(batches) for batches in partitions.values()), default=0)
    for level in range(depth):
        for (topic, partition), batches in partitions.items():
            if level < len(batches) and topic not in refused:
                try:
                    batch = batches[level]
                    batch.answer = await producer.send_batch(batch.builder, topic, partition=partition)
                    batch.answer.add_done_callback(_seen)
                except kafka.REFUSED as error:
                    refused[topic] = error
                except Exception as error:  # noqa: BLE001 - returned: the lane stops
                    return error
    return None


def _seen(answer: "asyncio.Future[Any]") -> None:
    """Mark the answer's exception as retrieved, so that asyncio does not report it."""
    if not answer.cancelled():
        answer.exception()


def _collect(
    count: int,
    partitions: dict[tuple[str, int], list[_Batch]],
    error: BaseException | None,
    refused: dict[str, BaseException],
) -> Delivered:
    offsets: list[int | None] = [None] * count
    for (topic, _), batches in partitions.items():
        for batch in batches:
            base, failure = _answer(batch)
            if base is None:
                if topic not in refused:  # there what follows a refusal fails too
                    error = error or failure
                break
            for place, index in enumerate(batch.indexes):
                offsets[index] = base + place
    return Delivered(offsets, error, refused)


def _answer(batch: _Batch) -> tuple[int | None, BaseException | None]:
    """The first offset of the batch. A duplicate whose offset the broker has forgotten comes as -1: sent
    again.
    """
    if batch.answer is None or not batch.answer.done():
        return None, NoAnswerError()
    if batch.answer.cancelled():
        return None, NoAnswerError()
    if failure := batch.answer.exception():
        return None, failure
    offset = batch.answer.result().offset
    return (offset, None) if offset >= 0 else (None, NoAnswerError())
