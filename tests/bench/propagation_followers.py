"""Five subscribers in one process, each with its own PostgreSQL store; writes down when each record was committed.

    python -m tests.bench.propagation_followers FILE   (reads its plan, writes FILE.times)

Times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TextIO

import uvloop

from kielto.subscriber import PostgresStore, Subscriber
from kielto.subscriber.replica.state import Delta
from kielto.subscriber.stores.base import StoredRow


class TimedStore(PostgresStore):
    """The product's store, which tells when its transaction had committed."""

    def __init__(self, dsn: str, who: str, out: TextIO) -> None:
        super().__init__(dsn)
        self._who, self._out = who, out

    async def _write(self, delta: Delta, rows: list[StoredRow], positions: str, state: str) -> None:
        await super()._write(delta, rows, positions, state)
        now = time.monotonic()
        for row in rows:
            self._out.write(json.dumps([self._who, row.key, now]) + "\n")
        if rows:
            self._out.flush()


async def main() -> None:
    file = Path(sys.argv[1])
    plan = json.loads(file.read_text())  # noqa: ASYNC240
    with file.with_suffix(".times").open("w") as out:
        async with AsyncExitStack() as stack:
            followers = []
            for one in plan["subscribers"]:
                follower = Subscriber(
                    subscriber=one["id"],
                    party=one["party"],
                    bootstrap=plan["bootstrap"],
                    point_keys={int(g): bytes.fromhex(k) for g, k in one["point_keys"].items()},
                    store=TimedStore(one["dsn"], one["id"], out),
                    spool=Path(one["spool"]),
                    stale_seconds=plan["stale_seconds"],
                )
                followers.append(await stack.enter_async_context(follower))
            for follower in followers:
                await follower.ready()
            file.with_suffix(".ready").touch()
            await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())  # as the bare ones do
