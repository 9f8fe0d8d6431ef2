"""A relay of a company of the test's own, and subscribers that follow it."""

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers.stack import Stack
from kielto.subscriber import MemoryStore, Subscriber
from tests.integration.subscriber.customers import POINT_KEY
from tests.integration.subscriber.relay import HandDrivenRelay, new_party

Follow = Callable[..., Subscriber]


@pytest.fixture(scope="module", autouse=True)
def one_files_topics(few_topics: None) -> None:
    """Nearly every test here makes some."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """aiokafka writes a hundred lines a second while a broker is away."""
    logger = logging.getLogger("aiokafka")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(before)


@pytest.fixture
async def relay(stack: Stack) -> AsyncIterator[HandDrivenRelay]:
    async with HandDrivenRelay(stack.kafka.bootstrap, new_party()) as relay:
        yield relay


@pytest.fixture
def follow(stack: Stack, relay: HandDrivenRelay, tmp_path: Path) -> Follow:
    """A subscriber of the relay's company; not started. Give `spool=None` for none."""

    def make(**changes: Any) -> Subscriber:
        settings: dict[str, Any] = {
            "subscriber": "crm",
            "party": relay.party,
            "bootstrap": stack.kafka.bootstrap,
            "point_keys": {1: POINT_KEY},
            "store": MemoryStore(),
            "spool": tmp_path / "spool.sqlite",
            "stale_seconds": 3.0,
        }
        return Subscriber(**(settings | changes))

    return make
