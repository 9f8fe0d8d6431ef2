"""A relay in a process of its own, which kills itself at a chosen point: `child.py DSN BOOTSTRAP FAMILY
POINT`.

Points: `fetched` (marks read, nothing sent), `acknowledged` (the broker has answered, the marks are still
there),
`never`. A planted bug, `deleted`: the marks are deleted before anything is sent, then it dies.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from kielto.events.topics import Lane, permissions_of
from kielto.service.outbox import batch_send, express_lane, pending
from kielto.service.outbox.heartbeats import BeatPlan
from kielto.service.outbox.relay import LaneRelay, RelaySettings


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def plant(point: str) -> None:
    original_fetch = pending.fetch

    async def deliver(producer: Any, messages: Sequence[Any]) -> Any:
        records = [m for m in messages if not m.key.startswith(b"!")]
        if records and point == "fetched":
            die()
        delivered = await batch_send.deliver(producer, messages)
        if records and point == "acknowledged":
            die()
        return delivered

    async def fetch(conn: Any, *arguments: Any) -> Any:
        found = await original_fetch(conn, *arguments)
        if found[0] and point == "deleted":
            await conn.execute("DELETE FROM marks")
            die()
        return found

    for module, name, function in ((express_lane, "deliver", deliver), (pending, "fetch", fetch)):
        setattr(module, name, function)


async def main(dsn: str, bootstrap: str, family: str, point: str) -> None:
    plant(point)
    await LaneRelay(
        Lane.EXPRESS,
        RelaySettings(
            "test",
            dsn,
            bootstrap,
            (permissions_of(family),),
            BeatPlan(0.2),
            20_000,
            lambda _f, _k, body: body,
        ),
    ).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
