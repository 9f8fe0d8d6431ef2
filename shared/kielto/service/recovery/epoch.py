"""The epoch of this database: the first half of every version, so that nothing an older database wrote can win.

Claimed at the very first start, before anything is accepted; a new one begins by `new_epoch.py`. Contract, "Restore".
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from kielto import kafka
from kielto.events import control
from kielto.events.topics import Family
from kielto.kafka import CLEAR, Security
from kielto.service.database import pool
from kielto.service.database.pool import Conn, Pool
from kielto.service.outbox.batch_send import Stopped, deliver
from kielto.service.outbox.heartbeats import everywhere
from kielto.service.recovery import topic_scan

_LOCK = 0x6B69_656C_746F_04
_LOOK_SECONDS = 0.1


class NotClaimed(Exception):
    """No epoch is open: writes are answered 503 until Kafka was read and the epoch acknowledged there."""


async def current(conn: "Conn | Pool") -> int:
    """The epoch in which records may be committed now. Raises NotClaimed."""
    epoch = await conn.fetchval("SELECT epoch FROM current_epoch")
    if epoch is None:
        raise NotClaimed
    return int(epoch)


async def claimed(conn: "Conn | Pool") -> int | None:
    """The last one that was claimed, open or not."""
    epoch: int | None = await conn.fetchval("SELECT epoch FROM epoch")
    return epoch


async def checked(conn: "Conn | Pool") -> bool:
    """Whether this database was held against our own topics since its server started: it may be relayed."""
    return bool(await conn.fetchval("SELECT EXISTS (SELECT FROM current_epoch WHERE checked)"))


async def until_checked(conn: "Conn | Pool") -> None:
    while not await checked(conn):  # noqa: ASYNC110 - only the database can tell
        await asyncio.sleep(_LOOK_SECONDS)


async def must_be_checked(conn: Conn) -> None:
    """Raises Stopped: whoever leads gives up, and who leads next begins the new epoch."""
    if not await checked(conn):
        raise Stopped("the epoch is not open")


async def end(conn: "Conn | Pool", why: str) -> int | None:
    """From now on nothing is committed until a new epoch was begun; the one that ended, None without any."""
    epoch: int | None = await conn.fetchval(
        "UPDATE epoch SET ending = coalesce(ending, $1) RETURNING epoch", why
    )
    return epoch


async def claim(dsn: str, bootstrap: str, families: Sequence[Family], *, security: Security = CLEAR) -> int:
    """The epoch. Without one: claim one above every epoch seen in our own topics.

    The claim is a beat (epoch, term 1, n 0) acknowledged in every partition before it is committed, so that
    no later claim can miss it. Where others wrote before it is not open until the relay's leader has taken in what
    they said (`new_epoch.py`). Raises one of AWAY, of DOWN, or Stopped: try again.
    """
    conn = await pool.connect(dsn, name="epoch")
    try:
        await conn.execute("SELECT pg_advisory_lock($1)", _LOCK)
        if (epoch := await claimed(conn)) is not None:
            return epoch
        highest = await topic_scan.highest_epoch(bootstrap, families, security=security) if families else 0
        await announce(bootstrap, families, highest + 1, security=security)
        await conn.execute(
            "INSERT INTO epoch (epoch, term, open) VALUES ($1, 1, $2)", highest + 1, highest == 0
        )
        return highest + 1
    finally:
        conn.terminate()


async def announce(
    bootstrap: str, families: Sequence[Family], epoch: int, *, security: Security = CLEAR
) -> None:
    """Returns when every partition of the restrictions topics has it. Raises one of DOWN, or Stopped."""
    pairs = [family for family in families if family.express]
    if not pairs:
        return
    beat = control.Beat(epoch=epoch, term=1, n=0, generation=1, at=datetime.now(UTC))
    producer = kafka.producer(bootstrap, security=security)
    try:
        await producer.start()
        async with asyncio.timeout(30):
            delivered = await deliver(producer, [m for family in pairs for m in everywhere(family, beat)])
        if delivered.error:
            raise Stopped from delivered.error
    finally:
        await kafka.abort(producer)
