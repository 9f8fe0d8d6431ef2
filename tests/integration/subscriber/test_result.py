"""What became of a decision, told to whoever submitted it."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.events import envelope
from kielto.events.results import DecisionResult, ResultStatus
from kielto.events.topics import results
from tests.integration.subscriber.conftest import Follow
from tests.integration.subscriber.relay import HandDrivenRelay


async def tell(relay: HandDrivenRelay, ident: UUID | None, status: ResultStatus) -> None:
    said = DecisionResult(id=ident, partition=0, offset=0, status=status, at=datetime.now(UTC))
    sent = envelope.encode(said, key=str(ident), source="consents")
    await relay.producer.send_and_wait(
        results(relay.party), sent.value, key=sent.key, headers=list(sent.headers)
    )


@pytest.mark.parametrize("first", [False, True], ids=["asked first", "told first"])
async def test_it_comes_whether_asked_for_before_or_after(
    relay: HandDrivenRelay, follow: Follow, first: bool
) -> None:
    async with follow() as kielto:
        ident = await kielto.submit("ban", number="1")
        asking: asyncio.Task[Any] | None = None
        if not first:
            asking = asyncio.create_task(kielto.result(ident, timeout=20))
            await asyncio.sleep(0.5)
        await relay.producer.send_and_wait(results(relay.party), b"{", key=b"x", headers=[])
        await tell(relay, uuid4(), ResultStatus.REFUSED)
        await tell(relay, ident, ResultStatus.REPEATED)
        found = await (asking or kielto.result(ident, timeout=20))
        assert (found.id, found.status) == (ident, ResultStatus.TAKEN)


async def test_one_that_does_not_come(relay: HandDrivenRelay, follow: Follow) -> None:
    """Also while the topic is missing."""
    async with follow() as kielto:
        with pytest.raises(TimeoutError):
            await kielto.result(uuid4(), timeout=1)


async def test_nobody_who_does_not_ask_reads_it(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        assert kielto._results is None
