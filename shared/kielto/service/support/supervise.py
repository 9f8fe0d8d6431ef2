"""Long-running work: one way to start it again after it failed, and one way to wait for something with a limit."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple, TypeVar, overload

import structlog

from kielto.errors import KieltoError
from kielto.kafka import KafkaError
from kielto.service.support.logs import where

log = structlog.get_logger(__name__)
Result = TypeVar("Result")


class Backoff(NamedTuple):
    """Seconds between a failure and the next run: `first`, then twice as many each time, up to `most`; `first` again
    after a run of at least `settled` seconds.
    """

    first: float = 0.5
    most: float = 0.5
    settled: float = 60.0


_STEADY = Backoff()


@overload
async def supervise(
    name: str,
    work: Callable[[], Awaitable[Result]],
    retry_on: tuple[type[Exception], ...],
    backoff: Backoff = ...,
    *,
    failed: Callable[[Exception], None] | None = None,
    progressed: Callable[[], bool] | None = None,
) -> Result: ...


@overload
async def supervise(
    name: str,
    work: Callable[[], Awaitable[Result]],
    retry_on: tuple[type[Exception], ...],
    backoff: Backoff = ...,
    *,
    stop: asyncio.Event,
    failed: Callable[[Exception], None] | None = None,
    progressed: Callable[[], bool] | None = None,
) -> Result | None: ...


async def supervise(
    name: str,
    work: Callable[[], Awaitable[Result]],
    retry_on: tuple[type[Exception], ...],
    backoff: Backoff = _STEADY,
    *,
    stop: asyncio.Event | None = None,
    failed: Callable[[Exception], None] | None = None,
    progressed: Callable[[], bool] | None = None,
) -> Result | None:
    """Run `work` and return its result; run it again after each error of `retry_on`. Other errors are raised.

    Each failure is logged as `work.failed` with the `name`, and given to `failed`. No run begins once `stop` is set:
    None. A run that is under way is not ended by it. `progressed`: whether the failed run got somewhere, so that the
    next one comes as soon as after a first failure.
    """
    delay, clock = backoff.first, asyncio.get_running_loop().time
    while stop is None or not stop.is_set():
        began = clock()
        try:
            return await work()
        except retry_on as error:
            if clock() - began >= backoff.settled or (progressed is not None and progressed()):
                delay = backoff.first
            log.warning("work.failed", work=name, **describe(error), retry_seconds=delay)
            if failed is not None:
                failed(error)
        await (asyncio.sleep(delay) if stop is None else within(delay, stop.wait()))
        delay = min(2 * delay, backoff.most)
    return None


async def within(seconds: float, awaited: Awaitable[Result]) -> Result | None:
    """Return the result of `awaited`; cancel it and return None when it takes longer than `seconds`."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await awaited
    except TimeoutError:
        if not limit.expired():
            raise
        return None


async def first_to_end(*works: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of them to end, and raise its error; the others are cancelled."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def describe(error: BaseException) -> dict[str, str]:
    """For a log: the kind of the error (of its cause, if it has one) and where it was raised. Its text only when it is
    Kafka's or one of ours: PostgreSQL's may quote values.
    """
    cause = error.__cause__ or error
    rule = str(cause) if isinstance(cause, KieltoError | KafkaError) else ""
    return {"error": type(cause).__name__, "at": where(cause), **({"rule": rule} if rule else {})}
