"""`python -m services.consents decisions`: list held decisions by party, release them, or void a party's decisions."""

import argparse
import contextlib
import io
from collections.abc import Sequence
from datetime import UTC, datetime

from services.consents.model.decisions import OfficerAction
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.release_or_void import OfficerOrder, act_on_all, list_held

NAMES = ("decisions held", "decisions release", "decisions void")
_USAGE = (
    "usage: decisions held | decisions release --party PARTY [--since TIME] --reason TEXT"
    " | decisions void --party PARTY [--since TIME] --reason TEXT"
)
_MARKS = {"release": OfficerAction.RELEASED, "void": OfficerAction.VOIDED}
_EVER = datetime(1, 1, 2, tzinfo=UTC)


async def command(context: Context, words: Sequence[str]) -> int:
    """The exit status: 0 done, 2 wrong usage. Run it again after an interruption: it continues where it stopped."""
    match words:
        case ["held"]:
            for one in (await list_held(context)).parties:
                times = f"{one.first_at:%Y-%m-%dT%H:%M:%SZ}\t{one.last_at:%Y-%m-%dT%H:%M:%SZ}"
                print(f"{one.party}\t{one.held} held\t{times}")
            return 0
        case ["release" | "void" as verb, *options] if (order := _order(_MARKS[verb], options)) is not None:
            print(f"{await act_on_all(context, order)} {order.action}")
            return 0
    print(_USAGE)
    return 2


def _order(mark: OfficerAction, options: Sequence[str]) -> OfficerOrder | None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--party", required=True)
    parser.add_argument("--since", type=_time, default=_EVER)
    parser.add_argument("--reason", required=True)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            given = parser.parse_args(options)
    except SystemExit:
        return None
    why = given.reason.strip()
    return OfficerOrder(mark, given.party, given.since, "command", why) if why else None


def _time(text: str) -> datetime:
    """ISO 8601, in UTC where it does not say."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
