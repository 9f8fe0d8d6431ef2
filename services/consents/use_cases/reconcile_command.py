"""`python -m services.consents reconcile`: ask stores now; what differs, and whether it stands."""

import asyncio
import time
from collections.abc import Sequence

from kielto.group import Subscriber
from kielto.service.postgres import Pool, transaction
from services.consents.store import reconciliation as store
from services.consents.use_cases.context import Context
from services.consents.use_cases.reconcile import LOOK_SECONDS, ask

_USAGE = "usage: reconcile SUBSCRIBER|--all [--wait]"
WAIT_SECONDS = 300.0
_SETTLE_SECONDS = 5.0
_SHOWN = 1000


async def command(pool: Pool, context: Context, words: Sequence[str]) -> int:
    """The exit status: 0 nothing differs, 1 differences stand, or with `--wait` somebody did not answer or could not
    be compared wholly; 2 wrong usage.

    Running processes put the questions into the topics and judge the answers.
    """
    match words:
        case [which, *rest] if rest in ([], ["--wait"]):
            asked = [s for s in context.group.subscribers if which in ("--all", s.id)]
            if asked:
                unsettled = await _wait(pool, asked) if rest else await _ask(pool, asked) and []
                return await _print(pool, asked, unsettled)
            print(
                f"no subscriber of the group: those are {', '.join(s.id for s in context.group.subscribers)}"
            )
            return 1
    print(_USAGE)
    return 2


async def _ask(pool: Pool, asked: Sequence[Subscriber]) -> list[str]:
    async with transaction(pool) as conn:
        return [str(await ask(conn, subscriber)) for subscriber in asked]


async def _wait(pool: Pool, asked: Sequence[Subscriber]) -> list[str]:
    """Until all have answered, are compared wholly, and nothing is about to be repaired; or the time is over. Who is
    not done, in words.
    """
    until, names = time.monotonic() + WAIT_SECONDS, [s.id for s in asked]
    while True:
        async with transaction(pool) as conn:
            asks = [await ask(conn, subscriber) for subscriber in asked]
        while (silent := await store.unanswered(pool, asks)) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        if silent:
            return [f"SILENT {name}" for name in silent]
        await asyncio.sleep(_SETTLE_SECONDS)  # what differs is asked for, and repaired
        rows = await store.last(pool, names)
        partly = sorted({row["subscriber"] for row in rows if (row["differing"], row["left_out"]) != (0, 0)})
        if not partly and not sum((await store.standing(pool, names)).values()):
            return []
        if time.monotonic() > until:
            return [f"NOT COMPARED WHOLLY {name}" for name in partly]


async def _print(pool: Pool, asked: Sequence[Subscriber], unsettled: Sequence[str]) -> int:
    names = [s.id for s in asked]
    print("subscriber\tinstance\tanswered\tcompared\tleft out\tdiffering")
    for row in await store.last(pool, names):
        if row["instance"] is None:
            print(f"{row['subscriber']}\t-\tnever")
        else:
            counts = f"{row['compared']}\t{row['left_out']}\t{row['differing']}"
            print(
                f"{row['subscriber']}\t{row['instance']}\t{row['answered_at']:%Y-%m-%dT%H:%M:%SZ}\t{counts}"
            )
    found = await store.listed(pool, names, _SHOWN)
    for row in found:
        versions = f"theirs {row['theirs'] or '-'}, ours {row['ours'] or '-'}"
        state = "repair sent" if row["repaired_at"] else "cannot be repaired from here"
        print(
            f"DIFFERS {row['subscriber']}\t{row['instance']}\t{row['key']}\t{row['kind']}\t{versions}\t{state}"
        )
    for words in unsettled:
        print(words)
    return 1 if found or unsettled else 0
