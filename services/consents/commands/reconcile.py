"""`python -m services.consents reconcile`: ask stores now; what differs, and whether it stands."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from kielto.group import SubscriberSystem
from kielto.service.database.pool import Pool, transaction
from services.consents.store.propagation import proof
from services.consents.store.propagation import reconciliation as store
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.reconcile import ask

_USAGE = "usage: reconcile SUBSCRIBER|--all [--wait]"
WAIT_SECONDS, WAIT_SECONDS_EACH, WAIT_SECONDS_AT_MOST = 20.0, 10.0, 300.0
"""How long `--wait` waits: and for each instance so much more."""
_SETTLE_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_SHOWN = 1000

Live = dict[tuple[str, UUID], bool]
"""By subscriber and instance: whether it has been heard within its life."""


async def command(pool: Pool, context: Context, words: Sequence[str]) -> int:
    """The exit status: 0 nothing differs at the instances that live, 1 differences stand there, or with `--wait` one of
    them did not answer or could not be compared wholly; 2 wrong usage. With `--wait` instances that are gone are named.

    Running processes put the questions into the topics and judge the answers.
    """
    match words:
        case [which, *rest] if rest in ([], ["--wait"]):
            asked = [s for s in context.group.subscribers if which in ("--all", s.id)]
            if asked:
                live = await _live(pool, asked)
                unsettled = await _wait(pool, asked, live) if rest else []
                if not rest:
                    await _ask(pool, asked)
                return await _print(pool, asked, live, unsettled, skipped=bool(rest))
            print(
                f"no subscriber of the group: those are {', '.join(s.id for s in context.group.subscribers)}"
            )
            return 1
    print(_USAGE)
    return 2


async def _live(pool: Pool, asked: Sequence[SubscriberSystem]) -> Live:
    life = {s.id: timedelta(seconds=proof.life_seconds(s)) for s in asked}
    async with pool.acquire() as conn:
        now = await conn.fetchval("SELECT clock_timestamp()")
        return {
            (one.subscriber, one.instance): one.live and now - one.seen_at <= life[one.subscriber]
            for one in await proof.instances(conn, asked)
        }


async def _ask(pool: Pool, asked: Sequence[SubscriberSystem]) -> list[UUID]:
    async with transaction(pool) as conn:
        return [await ask(conn, subscriber) for subscriber in asked]


async def _wait(pool: Pool, asked: Sequence[SubscriberSystem], live: Live) -> list[str]:
    """Until all instances that live have answered, are compared wholly, and nothing of theirs is about to be repaired;
    or the time is over. Who is not done, in words.
    """
    there = [one for one, lives in live.items() if lives]
    asked = [s for s in asked if s.id in {subscriber for subscriber, _ in there}]
    until = time.monotonic() + min(WAIT_SECONDS + WAIT_SECONDS_EACH * len(there), WAIT_SECONDS_AT_MOST)
    while there:
        asks = await _ask(pool, asked)
        while (silent := await store.unanswered(pool, asks, there)) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        if silent:
            return [f"SILENT {subscriber} {instance}" for subscriber, instance in silent]
        rows = await store.last(pool, [s.id for s in asked])
        partly = sorted(
            {
                row["subscriber"]
                for row in rows
                if (row["subscriber"], row["instance"]) in there
                and (row["differing"], row["left_out"]) != (0, 0)
            }
        )
        if not partly and not await store.standing_at(pool, there):
            return []
        if time.monotonic() > until:
            return [f"NOT COMPARED WHOLLY {name}" for name in partly]
        await asyncio.sleep(_SETTLE_SECONDS)  # what differs is asked for, and repaired
    return []


async def _print(
    pool: Pool, asked: Sequence[SubscriberSystem], live: Live, unsettled: Sequence[str], *, skipped: bool
) -> int:
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
    gone = {one for one, lives in live.items() if not lives}
    for subscriber, instance in sorted(gone) if skipped else ():
        print(f"SKIPPED {subscriber}\t{instance}\tgone: it has not been heard within its life")
    for name in names if skipped else ():
        if name not in {subscriber for subscriber, _ in live}:
            print(f"SKIPPED {name}\t-\tnever seen")
    for words in unsettled:
        print(words)
    stand = [row for row in found if (row["subscriber"], row["instance"]) not in gone]
    return 1 if stand or unsettled else 0
