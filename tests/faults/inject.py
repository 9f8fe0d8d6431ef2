"""Does to a world what a schedule says, and in the end makes everything whole again."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from tests.faults import poison
from tests.faults.history import History
from tests.faults.proxy import ProxyMode
from tests.faults.schedule import ScheduledFault
from tests.faults.world import FaultWorld, SmallDisk

SERVERS = ("postgres", "kafka")
_JOIN_SECONDS = 20.0


class Injector:
    """Every action takes the fault, waits as long as it lasts, and mends it."""

    def __init__(self, world: FaultWorld, history: History, disk: SmallDisk | None) -> None:
        self._world, self._history, self._disk = world, history, disk
        self._locks: dict[str, asyncio.Lock] = {}  # of starting and stopping each

    async def run(self, faults: list[ScheduledFault]) -> None:
        """All faults at their times; returns when all are over."""
        began = self._history.now()
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                tasks.create_task(self._one(fault, began))

    async def _one(self, fault: ScheduledFault, began: float) -> None:
        await asyncio.sleep(max(0.0, began + fault.at - self._history.now()))
        action: Callable[[ScheduledFault], Awaitable[None]] = getattr(self, fault.action)
        start = self._history.add("fault", action=fault.action, whom=fault.whom, more=fault.more)
        await action(fault)
        self._history.add("mended", action=fault.action, whom=fault.whom, since=start)

    async def heal(self) -> None:
        """Whatever state the faults left: servers up, doors open, every process running and ready."""
        for door in self._world.doors.values():
            door.turn(ProxyMode.OPEN)
        if self._disk is not None:
            await asyncio.to_thread(self._disk.free)
        await self._servers()
        for process in self._world.extra.values():
            await asyncio.to_thread(process.stop)
        for name, process in self._world.processes.items():
            if not process.running:
                self._world.order(name)
                await asyncio.to_thread(process.start)
        for name in self._world.processes:
            await asyncio.to_thread(self._world.wait, name)

    # -- actions, by the names in a schedule

    async def kill(self, fault: ScheduledFault) -> None:
        async with self._locks.setdefault(fault.whom, asyncio.Lock()):
            target = self._server(fault.whom) if fault.whom in SERVERS else self._world.processes[fault.whom]
            await asyncio.to_thread(target.kill)
            await asyncio.sleep(fault.lasts)
            await asyncio.to_thread(target.start)

    async def end_at(self, fault: ScheduledFault) -> None:
        """The living process ends when it comes to the point, and is started again; or goes on if it never does."""
        process = self._world.processes[fault.whom]
        async with self._locks.setdefault(fault.whom, asyncio.Lock()):
            self._world.order(fault.whom, **fault.more)
            end = self._history.now() + fault.lasts
            while process.running and self._history.now() < end:  # noqa: ASYNC110 - a process has no event
                await asyncio.sleep(0.05)
            self._world.order(fault.whom)
            reached = not process.running
            self._history.add("ended", whom=fault.whom, point=fault.more["point"], reached=reached)
            if reached:
                await asyncio.to_thread(process.start)
                await asyncio.to_thread(self._world.wait, fault.whom)

    async def redate(self, fault: ScheduledFault) -> None:
        self._world.order(fault.whom, **fault.more)
        async with self._locks.setdefault(fault.whom, asyncio.Lock()):
            await self._again(fault.whom)

    async def pause(self, fault: ScheduledFault) -> None:
        process = self._world.processes[fault.whom]
        process.pause()
        try:
            await asyncio.sleep(fault.lasts)
        finally:
            process.resume()

    async def join(self, fault: ScheduledFault) -> None:
        await self._joined(fault, self._world.extra[fault.whom].stop)

    async def join_die(self, fault: ScheduledFault) -> None:
        await self._joined(fault, self._world.extra[fault.whom].kill)

    async def door(self, fault: ScheduledFault) -> None:
        door = self._world.doors[fault.whom]
        before = door.swallowed
        door.turn(fault.more["mode"])
        await asyncio.sleep(fault.lasts)
        door.turn(ProxyMode.OPEN)
        self._history.add("door", whom=fault.whom, swallowed=door.swallowed - before)

    async def poison(self, fault: ScheduledFault) -> None:
        await poison.KINDS[fault.more["kind"]](self._world, random.Random(fault.at))

    async def fill_disk(self, fault: ScheduledFault) -> None:
        assert self._disk is not None
        await asyncio.to_thread(self._disk.fill)
        await asyncio.sleep(fault.lasts)
        await asyncio.to_thread(self._disk.free)
        await asyncio.sleep(0.5)  # a server that met a full disk ends itself
        self._history.add("disk", ended=[name for name in SERVERS if not self._server(name).process.running])
        await self._servers()

    async def empty(self, fault: ScheduledFault) -> None:
        """A follower begins with an empty store, as a new company's does."""
        process, dsn = self._world.processes[fault.whom], self._world.stores[fault.whom]
        await asyncio.to_thread(process.kill)
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("DROP SCHEMA kielto_subscriber CASCADE")
        finally:
            await connection.close()
        await asyncio.to_thread(process.start)

    # -- helpers

    async def _joined(self, fault: ScheduledFault, end: Callable[[], None]) -> None:
        """A further consumer, until it has been in its groups for as long as the fault says."""
        async with self._locks.setdefault(fault.whom, asyncio.Lock()):
            await asyncio.to_thread(self._world.start_extra, fault.whom)
            until = self._history.now() + _JOIN_SECONDS
            while (  # noqa: ASYNC110 - a process has no event
                not (reached := self._world.has_joined(fault.whom)) and self._history.now() < until
            ):
                await asyncio.sleep(0.05)
            self._history.add("joined", whom=fault.whom, reached=reached)
            await asyncio.sleep(fault.lasts)
            await asyncio.to_thread(end)

    async def _servers(self) -> None:
        for name in SERVERS:
            if not self._server(name).process.running:
                await asyncio.to_thread(self._server(name).start)

    async def _again(self, name: str) -> None:
        process = self._world.processes[name]
        await asyncio.to_thread(process.kill)
        await asyncio.to_thread(process.start)

    def _server(self, name: str) -> Any:
        return getattr(self._world.stack, name)
