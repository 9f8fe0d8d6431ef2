"""Claiming an epoch at Kafka, at a service's very first start. Contract, "Restore"."""

import asyncio
from collections.abc import Sequence

from kielto import kafka
from kielto.clock import Clock, utc_now
from kielto.events import control
from kielto.events.topics import Family
from kielto.service.database import epoch, pool
from kielto.service.database.advisory_locks import Lock, wait_for
from kielto.service.outbox.batch_send import LaneStoppedError, deliver
from kielto.service.outbox.heartbeats import everywhere
from kielto.service.recovery import topic_scan

_ANNOUNCE_SECONDS = 30


async def claim(
    dsn: str,
    bootstrap: str,
    families: Sequence[Family],
    *,
    security: kafka.Security = kafka.CLEAR,
    clock: Clock = utc_now,
) -> int:
    """The database's epoch. If it has none, claim one above every epoch that stands in the service's own topics.

    The claim is a heartbeat (epoch, term 1, n 0) that every partition acknowledges before the epoch is committed, so
    that no later claim can miss it. If the topics held an epoch before, the new one is not open until the leader of the
    express lane has read back what was written under it (`new_epoch.py`). Raises one of AWAY, of DOWN, or
    LaneStoppedError: try again.
    """
    conn = await pool.connect(dsn, name="epoch")
    try:
        await wait_for(conn, Lock.CLAIM)
        if (known := await epoch.latest(conn)) is not None:
            return known[0]
        highest = await topic_scan.highest_epoch(bootstrap, families, security=security) if families else 0
        await announce(bootstrap, families, highest + 1, security, clock)
        await epoch.insert(conn, highest + 1, is_open=highest == 0)
        return highest + 1
    finally:
        conn.terminate()


async def announce(
    bootstrap: str, families: Sequence[Family], number: int, security: kafka.Security, clock: Clock
) -> None:
    """Write the epoch's first heartbeat to every partition of the restrictions topics and wait for the broker's
    answers. Raises one of DOWN, or LaneStoppedError.
    """
    pairs = [family for family in families if family.express]
    if not pairs:
        return
    beat = control.Beat(epoch=number, term=1, n=0, generation=1, at=clock())
    async with kafka.started(kafka.producer(bootstrap, security=security), kafka.abort) as producer:
        async with asyncio.timeout(_ANNOUNCE_SECONDS):
            delivered = await deliver(producer, [m for family in pairs for m in everywhere(family, beat)])
        if delivered.error:
            raise LaneStoppedError from delivered.error
