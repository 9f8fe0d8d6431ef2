"""`python -m services.consents reconcile`: ask stores what they hold now, and print what differs."""

from collections.abc import Sequence

from kielto.group import SubscriberSystem
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.instances import (
    Instances,
    ask_and_wait,
    ask_now,
    known_instances,
    reconciliation_status,
)

_USAGE = "usage: reconcile SUBSCRIBER|--all [--wait]"


async def command(context: Context, words: Sequence[str]) -> int:
    """The exit status: 0 no live instance differs; 1 one differs, or with `--wait` one did not answer or could not be
    compared in full; 2 wrong usage.

    Running processes write the questions to the topics and compare the answers.
    """
    match words:
        case [which, *rest] if rest in ([], ["--wait"]):
            asked = [s for s in context.group.subscribers if which in ("--all", s.id)]
            if not asked:
                names = ", ".join(s.id for s in context.group.subscribers)
                print(f"unknown subscriber; the group has {names}")
                return 1
            known = await known_instances(context, asked)
            if not rest:
                await ask_now(context, asked)
                return await _print(context, asked, known, [], waited=False)
            unsettled = await ask_and_wait(context, asked, known)
            return await _print(context, asked, known, unsettled, waited=True)
    print(_USAGE)
    return 2


async def _print(
    context: Context,
    asked: Sequence[SubscriberSystem],
    known: Instances,
    unsettled: Sequence[str],
    *,
    waited: bool,
) -> int:
    found = await reconciliation_status(context, None, asked[0].id if len(asked) == 1 else None)
    print("subscriber\tinstance\tanswered\tcompared\tleft out\tdiffering")
    for one in found.stores:
        if one.instance is None:
            print(f"{one.subscriber}\t-\tnever")
        else:
            counts = f"{one.compared}\t{one.left_out}\t{one.differing}"
            print(f"{one.subscriber}\t{one.instance}\t{one.answered_at:%Y-%m-%dT%H:%M:%SZ}\t{counts}")
    for row in found.differences:
        versions = f"theirs {row.theirs or '-'}, ours {row.ours or '-'}"
        state = "repair sent" if row.repaired_at else "cannot be repaired by publishing again"
        print(f"DIFFERS {row.subscriber}\t{row.instance}\t{row.key}\t{row.kind}\t{versions}\t{state}")
    gone = {one for one, alive in known.items() if not alive}
    if waited:
        for subscriber, instance in sorted(gone):
            print(f"SKIPPED {subscriber}\t{instance}\tgone: no acknowledgement for longer than its life")
        for name in (s.id for s in asked):
            if name not in {subscriber for subscriber, _ in known}:
                print(f"SKIPPED {name}\t-\tnever seen")
    for line in unsettled:
        print(line)
    stand = [row for row in found.differences if (row.subscriber, row.instance) not in gone]
    return 1 if stand or unsettled else 0
