"""What the leaders of lanes and the auditor share: one PostgreSQL connection that holds a lock, and when to give up."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeAlias

import asyncpg

from kielto.service.database import epoch
from kielto.service.outbox.batch_send import LaneStoppedError

Leader: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_STOP_SECONDS = 2.0


async def must_be_checked(conn: Leader) -> None:
    """Raises LaneStoppedError unless the epoch is open and checked: the leader gives up, and the next one begins a new
    epoch.
    """
    if await epoch.checked(conn) is None:
        raise LaneStoppedError("the epoch is not open")


async def while_connected(conn: Leader, work: Coroutine[Any, Any, None], stopping: asyncio.Event) -> None:
    """Run `work` until it ends. Raises LaneStoppedError as soon as the connection is lost, even while the broker keeps
    the work waiting, and two seconds after `stopping` was set.
    """
    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def ended(_: object) -> None:
        if not lost.done():
            lost.set_result(None)

    conn.add_termination_listener(ended)
    task, told = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        first: set[asyncio.Future[Any]] = {task, lost, told}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if told.done() and not lost.done():
            await asyncio.wait({task, lost}, timeout=_STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise LaneStoppedError("the connection to PostgreSQL was lost" if lost.done() else "told to stop")
        await task
    finally:
        told.cancel()
        task.cancel()
        await asyncio.wait({task})
