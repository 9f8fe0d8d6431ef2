"""Our own services follow too: an unreadable key that its writer has voided holds nothing up any more."""

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from kielto.events import control, envelope
from kielto.events.topics import Lane
from kielto.service.inbox.handlers import Subscription
from kielto.service.inbox.transactional import Intake
from tests.integration.service.support import CIPHER, Bench, quarantine_of


class _Nothing:
    """Nothing of this reaches a handler."""

    async def handle(self, *_: Any) -> None:
        raise AssertionError

    async def deny(self, *_: Any) -> None:
        raise AssertionError

    async def handle_batch(self, *_: Any) -> None:
        raise AssertionError


@pytest.mark.parametrize("first", ["record", "void"])
async def test_whichever_is_read_first(service: Bench, first: str) -> None:
    bulk, express = (service.topics[service.family.topic(lane)] for lane in (Lane.BULK, Lane.EXPRESS))
    assert service.family.express
    reading = Intake(service.pool, bulk, Subscription(bulk.name, _Nothing(), batch=True), CIPHER)
    voiding = Intake(service.pool, express, Subscription(express.name, _Nothing()), CIPHER)
    reading.topic_id, voiding.topic_id = uuid4(), uuid4()
    void = control.Void(topic_id=reading.topic_id, partition=2, offset=7)
    encoded = envelope.encode(void, key=void.key(), source="consents")
    unreadable = [_record(bulk.name, offset, b"nobody's", b"{}", []) for offset in (7, 8)]
    voids = _record(express.name, 1, encoded.key, encoded.value, encoded.headers)
    for step in (first, "void" if first == "record" else "record"):
        if step == "record":
            await reading.take_batch(unreadable)
        else:
            await voiding.take(voids)
    assert [kept.offset for kept in await quarantine_of(service).listed()] == [8], "that one is not voided"
    assert [kept.offset for kept in await quarantine_of(service).listed("discarded")] == [7]


def _record(topic: str, offset: int, key: bytes, value: bytes, headers: Any) -> Any:
    return SimpleNamespace(
        topic=topic, partition=2, offset=offset, key=key, value=value, headers=headers, timestamp=0
    )
