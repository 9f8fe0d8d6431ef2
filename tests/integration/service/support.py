"""What the plumbing's tests share: a database with the plumbing's tables, topics of its own, what stands in a
log.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from kielto import kafka
from kielto.events import control, envelope
from kielto.events.envelope import Read
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, Family, Lane, Topic, all_topics, permissions_of
from kielto.kafka import TopicPartition
from kielto.service.database import migrations
from kielto.service.database import pool as postgres
from kielto.service.database.pool import Pool
from kielto.service.inbox.handlers import Subscription
from kielto.service.inbox.quarantine import Quarantine
from kielto.service.outbox import publish as outbox
from kielto.service.outbox.heartbeats import BeatPlan
from kielto.service.outbox.relay import LaneRelay, RelaySettings
from kielto.service.support.crypto_keys import Keys, MessageCipher
from tests.waiting import until

BEAT = 0.2
CIPHER = MessageCipher(bytes(32))


def quarantine_of(service: "Bench", subscriptions: Sequence[Subscription] = ()) -> Quarantine:
    keys = cast(Keys, SimpleNamespace(message_cipher=CIPHER))
    return Quarantine(service.pool, keys, service.topics, subscriptions)


@dataclass
class Bench:
    """One service's database and one family with topics of its own."""

    dsn: str
    pool: Pool
    bootstrap: str
    family: Family
    topics: dict[str, Topic]
    relays: list[tuple[LaneRelay, "asyncio.Task[None]"]] = field(default_factory=list)

    def settings(self, **plan: Any) -> RelaySettings:
        beats = BeatPlan(**{"seconds": BEAT, **plan})
        return RelaySettings(
            "test", self.dsn, self.bootstrap, (self.family,), beats, 20_000, lambda _family, _key, body: body
        )

    def relay(self, lane: Lane = Lane.EXPRESS, **plan: Any) -> LaneRelay:
        relay = LaneRelay(lane, self.settings(**plan))
        self.relays.append((relay, asyncio.create_task(relay.run())))
        return relay

    async def stop_relays(self) -> None:
        for relay, _ in self.relays:
            relay.stop()
        if self.relays:
            await asyncio.wait([task for _, task in self.relays], timeout=10)
        self.relays.clear()

    async def publish(
        self, key: str, *numbers: str, express: bool = True, decision: str | None = None, **more: Any
    ) -> str:
        """Publish a record of `key` that carries these numbers; its version."""
        carried = tuple(n.rjust(64, "0") for n in numbers)
        record = Permissions(version="0.0", subject=key, numbers=carried, decision=decision)
        async with postgres.transaction(self.pool) as conn:
            change = outbox.RecordChange(self.family.name, key, record, express, **more)
            return str((await outbox.publish(conn, [change]))[0])

    async def marks(self) -> int:
        return int(await self.pool.fetchval("SELECT count(*) FROM marks"))

    async def no_marks(self) -> None:
        await until(lambda: self._none(), "marks are left")

    async def _none(self) -> bool:
        return await self.marks() == 0

    async def log(self, lane: Lane = Lane.EXPRESS) -> list["TopicEntry"]:
        """Everything that stands in the topic now, in order for each partition."""
        return await read_log(self.bootstrap, self.topics[self.family.topic(lane)])

    async def beats(self) -> list[tuple[int, int, control.Beat]]:
        """(partition, offset, beat) of all beats."""
        return [
            (e.partition, e.offset, e.event) for e in await self.log() if isinstance(e.event, control.Beat)
        ]


@dataclass(frozen=True)
class TopicEntry:
    partition: int
    offset: int
    key: str
    event: Any
    headers: dict[str, str]
    value: bytes

    @property
    def version(self) -> str:
        return str(self.event.version)


@asynccontextmanager
async def bench(dsn: str, bootstrap: str, *, epoch: int | None = 1) -> AsyncIterator[Bench]:
    """With `epoch` None none is claimed."""
    await migrations.migrate(dsn, None)
    family = permissions_of(f"company.t{secrets.token_hex(4)}")
    topics = {t.name: t for t in all_topics([family.name]) if t.name in (family.bulk, family.express)}
    await kafka.create_topics(bootstrap, list(topics.values()))
    pool = await postgres.open_pool(dsn, name="test")
    made = Bench(dsn, pool, bootstrap, family, topics)
    try:
        if epoch is not None:
            await pool.execute("INSERT INTO epoch (epoch) VALUES ($1)", epoch)
        yield made
    finally:
        await made.stop_relays()
        pool.terminate()


async def read_log(bootstrap: str, topic: Topic) -> list[TopicEntry]:
    consumer = kafka.consumer(bootstrap)
    entries: list[TopicEntry] = []
    try:
        await consumer.start()
        places = [TopicPartition(topic.name, p) for p in range(PARTITIONS)]
        consumer.assign(places)
        ends = await kafka.end_offsets(consumer, places)
        for place in places:
            consumer.seek(place, 0)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                entries += [
                    _entry(topic, r) for r in records if r.offset < ends[TopicPartition(r.topic, r.partition)]
                ]
    finally:
        await consumer.stop()
    return sorted(entries, key=lambda e: (e.partition, e.offset))


def _entry(topic: Topic, record: Any) -> TopicEntry:
    read = envelope.read(topic.carries, record.key, record.value, record.headers)
    event = read.event if isinstance(read, Read) else read
    headers = read.headers if isinstance(read, Read) else {}
    return TopicEntry(
        record.partition, record.offset, record.key.decode("ascii", "replace"), event, headers, record.value
    )


def key(number: int = 0) -> str:
    return secrets.token_hex(32) if not number else f"{number:064x}"


def environment(**more: str) -> dict[str, str]:
    root = Path(__file__).resolve().parents[3]
    return {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root / 'shared'}", **more}


def rising(versions: Sequence[str]) -> bool:
    numbers = [tuple(map(int, v.split("."))) for v in versions]
    return numbers == sorted(numbers)
