"""The epoch of this database: claimed once, at the very first start, before anything is accepted.

Contract, "Restore". Every version begins with the epoch, so nothing that an older database wrote can win.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kielto import kafka
from kielto.events import control, envelope
from kielto.events.envelope import Read, Unreadable
from kielto.events.records import Record
from kielto.events.topics import PARTITIONS, Family
from kielto.kafka import CLEAR, Security, TopicPartition
from kielto.service import postgres
from kielto.service.beats import everywhere
from kielto.service.delivery import Stopped, deliver
from kielto.service.postgres import Conn, Pool

_LOCK = 0x6B69_656C_746F_04


class NotClaimed(Exception):
    """No epoch yet: writes are answered 503 until Kafka was read and the epoch acknowledged there."""


async def current(conn: "Conn | Pool") -> int:
    """Raises NotClaimed."""
    epoch = await conn.fetchval("SELECT epoch FROM epoch")
    if epoch is None:
        raise NotClaimed
    return int(epoch)


async def claim(dsn: str, bootstrap: str, families: Sequence[Family], *, security: Security = CLEAR) -> int:
    """The epoch. Without one: claim one above every epoch seen in our own restrictions topics.

    The claim is a beat (epoch, term 1, n 0) acknowledged in every partition before it is committed, so that
    no later claim can miss it. Raises one of AWAY, of DOWN, or Stopped: try again.
    """
    conn = await postgres.connect(dsn, name="epoch")
    try:
        await conn.execute("SELECT pg_advisory_lock($1)", _LOCK)
        try:
            return await current(conn)
        except NotClaimed:
            pass
        pairs = [family for family in families if family.express]
        epoch = 1 + await _highest(bootstrap, security, pairs) if pairs else 1
        await _announce(bootstrap, security, pairs, epoch)
        await conn.execute("INSERT INTO epoch (epoch, term) VALUES ($1, 1)", epoch)
        return epoch
    finally:
        conn.terminate()


async def _highest(bootstrap: str, security: Security, families: Sequence[Family]) -> int:
    """The highest epoch in any record or beat of these families' restrictions topics; 0 when there is
    none.
    """
    carried = {family.express: (family.record, control.Beat) for family in families}
    highest = 0
    consumer = kafka.consumer(bootstrap, security=security)
    try:
        await consumer.start()
        places = [TopicPartition(topic, p) for topic in carried for p in range(PARTITIONS)]
        consumer.assign(places)
        ends = await kafka.end_offsets(consumer, places)
        for place in places:
            consumer.seek(place, 0)
        left = {place for place in places if ends[place] > 0}
        while left:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    read = envelope.read(carried[record.topic], record.key, record.value, record.headers)
                    highest = max(highest, _epoch_of(read))
            left = {place for place in left if await consumer.position(place) < ends[place]}
        return highest
    finally:
        await kafka.close(consumer)


def _epoch_of(read: Any) -> int:
    match read:
        case Read(event=control.Beat() as beat):
            return beat.epoch
        case Read(event=Record() as record):
            return record.at_version.epoch
        case Unreadable(version=version) if version is not None:
            return version.epoch
    return 0


async def _announce(bootstrap: str, security: Security, families: Sequence[Family], epoch: int) -> None:
    if not families:
        return
    beat = control.Beat(epoch=epoch, term=1, n=0, generation=1, at=datetime.now(UTC))
    producer = kafka.producer(bootstrap, security=security)
    try:
        await producer.start()
        async with asyncio.timeout(30):
            delivered = await deliver(producer, [m for family in families for m in everywhere(family, beat)])
        if delivered.error:
            raise Stopped from delivered.error
    finally:
        await kafka.abort(producer)
