"""Topics whose records a foreign client wrote: a mirror, in transactions; compressed by any codec; a bomb."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from kielto.events.base import Event
from kielto.events.envelope import encode
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, Lane
from kielto.kafka import partition_of
from kielto.subscriber import Reason
from tests.integration.kafka.foreign import Message, Transaction, transact, write
from tests.integration.subscriber.conftest import Follow
from tests.integration.subscriber.customers import NAMES, by_address, by_id, customer, open_with
from tests.integration.subscriber.relay import HandDrivenRelay, new_party
from tests.waiting import until


class Mirror(HandDrivenRelay):
    """Copies a party's topics into another cluster as mirrors do: each portion is a transaction."""

    def __init__(self, bootstrap: str, party: str) -> None:
        super().__init__(bootstrap, party)
        self._transactions: dict[Lane, Transaction] = {}
        self._locks = {lane: asyncio.Lock() for lane in Lane}

    async def put(self, lane: Lane, *events: Permissions) -> list[tuple[int, int]]:
        """Where the records stand a mirror does not say."""
        messages = [encode(event, key=event.subject, source="consents") for event in events]
        await self._transact(lane, [(partition_of(m.key, PARTITIONS), _given(m)) for m in messages])
        return []

    async def control(self, lane: Lane, key: str, events: Iterable[Event]) -> None:
        messages = [encode(event, key=key, source="consents") for event in events]
        await self._transact(lane, [(partition, _given(m)) for partition, m in enumerate(messages)])

    async def _transact(self, lane: Lane, messages: Iterable[tuple[int, Message]]) -> None:
        async with self._locks[lane]:
            if lane in self._transactions:
                self._transactions[lane].again()
            else:
                self._transactions[lane] = await Transaction.begin(self.bootstrap, self.family.topic(lane))
            for partition, message in messages:
                await self._transactions[lane].write(partition, [message])
            await self._transactions[lane].commit()


def _given(encoded: Any) -> Message:
    return encoded.key, encoded.value, encoded.headers


def _place(event: Permissions) -> tuple[int, list[Message]]:
    encoded = encode(event, key=event.subject, source="consents")
    return partition_of(encoded.key, PARTITIONS), [_given(encoded)]


async def test_a_gate_opens_over_topics_that_a_mirror_writes(relay: HandDrivenRelay, follow: Follow) -> None:
    async with Mirror(relay.bootstrap, new_party()) as mirror:
        bulk = mirror.family.topic(Lane.BULK)
        async with follow(party=mirror.party, stale_seconds=3.0) as kielto:
            await open_with(kielto, mirror, *NAMES[:10])
            await mirror.put(Lane.EXPRESS, customer(NAMES[0], "1.3", allowed=False))
            await until(lambda: not kielto.may(by_address(NAMES[0])))
            partition, messages = _place(customer(NAMES[0], "1.9"))
            await transact(mirror.bootstrap, bulk, partition, messages, commit=False)
            await mirror.put(Lane.BULK, customer("last"))
            await until(lambda: kielto.may(by_id("last")))
            assert kielto.may(by_id(NAMES[0])).reason is Reason.DENIED, "an aborted record says nothing"
            for _ in range(20):
                await asyncio.sleep(0.25)
                assert kielto.shut() is None, "the gate goes stale over markers"


async def test_what_is_open_permits_nothing_and_shuts_the_gate_before_it_grows_old(
    relay: HandDrivenRelay, follow: Follow
) -> None:
    """Committed it counts, as whatever stands behind it."""
    banned, other = NAMES[:2]
    async with follow(stale_seconds=3.0) as kielto:
        await open_with(kielto, relay, banned, other)
        await relay.put(Lane.EXPRESS, customer(banned, "1.3", allowed=False))
        await until(lambda: not kielto.may(by_id(banned)))
        partition, messages = _place(customer(banned, "1.9"))
        allows = await Transaction.begin(relay.bootstrap, relay.family.topic(Lane.BULK))
        await allows.write(partition, messages)
        partition, messages = _place(customer(other, "1.9", allowed=False))
        denies = await Transaction.begin(relay.bootstrap, relay.family.topic(Lane.EXPRESS))
        await denies.write(partition, messages)
        await until(lambda: kielto.shut() is not None)
        assert not kielto.may(by_id(banned))
        await allows.commit()
        await denies.commit()
        await until(lambda: kielto.shut() is None)
        await until(lambda: bool(kielto.may(by_id(banned))))
        assert kielto.may(by_id(other)).reason is Reason.DENIED


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_is_read(relay: HandDrivenRelay, follow: Follow, codec: str) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, *NAMES[:3])
        for name in NAMES[:3]:
            partition, messages = _place(customer(name, "1.3", allowed=False))
            express = relay.family.topic(Lane.EXPRESS)
            await write(relay.bootstrap, express, partition, messages * 20, **{"compression.type": codec})
        await until(lambda: not any(map(kielto.may, map(by_id, NAMES[:3]))))
        assert kielto.shut() is None


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
async def test_a_bomb_shuts_its_partition_and_stops_nothing(
    relay: HandDrivenRelay, follow: Follow, codec: str
) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, "a")
        partition, ((key, value, headers),) = _place(customer("a", "1.3"))
        assert value is not None
        bomb = value + b" " * (40 << 20)
        settings = {"compression.type": codec, "message.max.bytes": 100_000_000}
        await write(
            relay.bootstrap, relay.family.topic(Lane.BULK), partition, [(key, bomb, headers)], **settings
        )
        await until(lambda: kielto.shut() is Reason.PARTITION_SHUT)
        await relay.put(Lane.BULK, customer("b", "1.1"))
        await until(lambda: kielto.count() == 2)
