"""Sending many messages and waiting for all the broker's answers: one batch for each partition, no task each.

What was acknowledged of a partition is always a prefix of what was given: after a failure nothing behind it
counts as sent, so that order holds when it is sent again.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

ANSWER_SECONDS = 120.0
"""A broker that is away is waited for; only a client that never answers is given up after this time."""


class Message(NamedTuple):
    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Delivered(NamedTuple):
    offsets: list[int | None]
    """By message: its offset, or None when it was not acknowledged: it may stand in the log or not."""
    error: BaseException | None
    """Why there is a None."""


class NoAnswer(Exception):
    """The client neither delivered nor failed in ANSWER_SECONDS."""


class Stopped(Exception):
    """The lane stops at the first message that was not acknowledged, and begins again from its marks."""


class _Batch:
    __slots__ = ("answer", "builder", "indexes")

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.indexes: list[int] = []
        self.answer: asyncio.Future[Any] | None = None


async def deliver(producer: Any, messages: Sequence[Message]) -> Delivered:
    """Send in the given order for each partition. Never raises but when it is cancelled."""
    partitions = _batches(producer, messages)
    error = await _submit(producer, partitions)
    answers = [b.answer for batches in partitions.values() for b in batches if b.answer is not None]
    if answers:
        waiting = asyncio.FIRST_EXCEPTION if error is None else asyncio.FIRST_COMPLETED
        timeout = ANSWER_SECONDS if error is None else 0
        await asyncio.wait(answers, timeout=timeout, return_when=waiting)
    return _collect(len(messages), partitions, error)


def _batches(producer: Any, messages: Sequence[Message]) -> dict[tuple[str, int], list[_Batch]]:
    partitions: dict[tuple[str, int], list[_Batch]] = {}
    for index, message in enumerate(messages):
        batches = partitions.setdefault((message.topic, message.partition), [])
        if not (batches and _append(batches[-1], message)):
            batches.append(_Batch(producer.create_batch()))
            _append(batches[-1], message)  # a first message is always taken
        batches[-1].indexes.append(index)
    return partitions


def _append(batch: _Batch, message: Message) -> bool:
    """False when the batch is full."""
    appended = batch.builder.append(
        timestamp=None, key=message.key, value=message.value, headers=message.headers
    )
    return appended is not None


async def _submit(producer: Any, partitions: dict[tuple[str, int], list[_Batch]]) -> BaseException | None:
    """All first batches, then all second ones: a second batch waits until the first has left."""
    depth = max((len(batches) for batches in partitions.values()), default=0)
    for level in range(depth):
        for (topic, partition), batches in partitions.items():
            if level < len(batches):
                try:
                    batch = batches[level]
                    batch.answer = await producer.send_batch(batch.builder, topic, partition=partition)
                    batch.answer.add_done_callback(_seen)
                except Exception as error:  # noqa: BLE001 - whatever it is, the lane stops here
                    return error
    return None


def _seen(answer: "asyncio.Future[Any]") -> None:
    """An answer that nobody waits for any more must not be reported as an error that was never looked at."""
    if not answer.cancelled():
        answer.exception()


def _collect(
    count: int, partitions: dict[tuple[str, int], list[_Batch]], error: BaseException | None
) -> Delivered:
    offsets: list[int | None] = [None] * count
    for batches in partitions.values():
        for batch in batches:
            base, failure = _answer(batch)
            if base is None:
                error = error or failure
                break
            for place, index in enumerate(batch.indexes):
                offsets[index] = base + place
    return Delivered(offsets, error)


def _answer(batch: _Batch) -> tuple[int | None, BaseException | None]:
    """The first offset of the batch. A duplicate whose offset the broker has forgotten comes as -1: sent
    again.
    """
    if batch.answer is None or not batch.answer.done():
        return None, NoAnswer()
    if batch.answer.cancelled():
        return None, NoAnswer()
    if failure := batch.answer.exception():
        return None, failure
    offset = batch.answer.result().offset
    return (offset, None) if offset >= 0 else (None, NoAnswer())
