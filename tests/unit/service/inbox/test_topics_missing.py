"""A service waits for topics that are missing, and ends for topics that are otherwise than they must be."""

from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kielto import kafka
from kielto.service.process import running
from kielto.service.process.running import RunningService


async def _patiently(ask: Callable[[], Awaitable[Any]]) -> Any:
    return await ask()


async def verify(monkeypatch: pytest.MonkeyPatch, answers: Iterator[Exception | None]) -> None:
    async def answer(*_: Any, **__: Any) -> None:
        if (error := next(answers)) is not None:
            raise error

    monkeypatch.setattr(kafka, "verify_topics", answer)
    monkeypatch.setattr(running, "_MISSING_SECONDS", 0.0)
    monkeypatch.setattr(running, "_RETRY_SECONDS", 0.0)
    settings = SimpleNamespace(kafka_bootstrap="", security=None)
    service, platform = SimpleNamespace(subscriptions=()), SimpleNamespace(settings=settings)
    process = SimpleNamespace(_service=service, _topics={}, _name="x", _platform=platform)
    await RunningService._verify(cast(Any, process))


async def test_missing_topics_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    await verify(monkeypatch, iter([*[kafka.TopicsMissingError("a: is missing")] * 50, None]))


async def test_a_difference_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(kafka.TopicMismatchError, match="partitions"):
        await verify(monkeypatch, iter([kafka.TopicMismatchError("a: has 3 partitions")] * 50))
