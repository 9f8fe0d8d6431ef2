"""A subscriber with a store in PostgreSQL as a process of its own, to be killed.

python -m tests.integration.subscriber.child BOOTSTRAP PARTY DSN SPOOL [hang]

With `hang` a tool behind it never returns from its first change.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from kielto.subscriber import Change, PostgresStore, Subscriber
from kielto.subscriber.sync import reading
from tests.integration.subscriber.customers import POINT_KEY

reading.PORTION_SHUT = 100  # many commits, so that it can be killed between two


async def hang(_changes: Sequence[Change]) -> None:
    print("at work", flush=True)
    await asyncio.Event().wait()


async def main(bootstrap: str, party: str, dsn: str, spool: str, tool: str = "") -> None:
    async with Subscriber(
        subscriber="crm",
        party=party,
        bootstrap=bootstrap,
        point_keys={1: POINT_KEY},
        store=PostgresStore(dsn),
        spool=Path(spool),
        stale_seconds=3.0,
        on_change=hang if tool else None,
    ) as kielto:
        await kielto.ready()
        print("open", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
