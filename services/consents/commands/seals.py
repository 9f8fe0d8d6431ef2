"""`python -m services.consents seals …`: verify the signed log of decisions, print its head, or erase a proof."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from kielto import seals
from kielto.seals import Head, Keys, SealRefusedError
from services.consents.use_cases.context import Context
from services.consents.use_cases.decision_log.append import erase
from services.consents.use_cases.decision_log.prove import last_head, public_keys
from services.consents.use_cases.decision_log.verify import LogReport, verify

NAMES = ("seals verify", "seals head", "seals erase")
_USAGE = "usage: seals verify [--jwks FILE] [--anchor FILE] | seals head | seals erase DECISION REASON"
_SHOWN = 200


async def command(context: Context, words: Sequence[str]) -> int:
    """The exit status: 0 the log holds, or done; 1 something is wrong, or it could not be done; 2 wrong usage."""
    try:
        match words:
            case ["head"]:
                return await _head(context)
            case ["erase", decision, why] if why.strip():
                return await _erase(context, UUID(decision), why)
            case ["verify", *options]:
                given = _options(options)
                if given is not None:
                    return await _verify(context, **given)
    except (SealRefusedError, OSError, ValueError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    print(_USAGE)
    return 2


async def _head(context: Context) -> int:
    token = await last_head(context)
    if token is None:
        print("nothing is signed yet", file=sys.stderr)
        return 1
    head = seals.read_head(token, await _keys(context, None))
    print(json.dumps({"head": token, **head._asdict()}, indent=1))
    return 0


async def _erase(context: Context, decision: UUID, why: str) -> int:
    if not await erase(context, context.keys.seal_key, decision, why):
        print("not erased: it is not signed yet, or it was erased before", file=sys.stderr)
        return 1
    print("the salt is erased: the decision still holds, but can no longer be proven")
    return 0


async def _verify(context: Context, jwks: Path | None = None, anchor: Path | None = None) -> int:
    keys = await _keys(context, jwks)
    report = await verify(context, keys, _anchor(anchor, keys), _progress)
    _clear()
    _print(report)
    if jwks is None:
        print(
            "the keys are those that the register itself holds: a log that was rewritten as a whole and signed anew "
            "with another key would pass, too; give --jwks FILE with keys that are kept elsewhere"
        )
    return 1 if report.findings else 0


async def _keys(context: Context, jwks: Path | None) -> Keys:
    """The keys of the file, or else all that the register says it used: whoever can rewrite it can add one there."""
    return seals.key_set(_read(jwks) if jwks is not None else {"keys": await public_keys(context)})


def _options(given: Sequence[str]) -> dict[str, Path] | None:
    found = {}
    for name, value in zip(given[::2], given[1::2], strict=False):
        if name not in ("--jwks", "--anchor"):
            return None
        found[name[2:]] = Path(value)
    return found if 2 * len(found) == len(given) else None


def _anchor(path: Path | None, keys: Keys) -> Head | None:
    """What `seals head` once printed."""
    if path is None:
        return None
    given = _read(path)
    if not isinstance(given, dict) or not isinstance(given.get("head"), str):
        raise SealRefusedError("the anchor must be a file that `seals head` printed")
    try:
        return seals.read_head(given["head"], keys)
    except SealRefusedError as error:
        raise SealRefusedError(f"the anchor: {error}") from None


def _read(path: Path) -> Any:
    return seals.parse(path.read_bytes())


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{done:,} of {total:,} leaves", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _print(report: LogReport) -> None:
    for line in report.erased[:_SHOWN]:
        print(line)
    for line in report.findings[:_SHOWN]:
        print(f"WRONG {line}")
    if len(report.findings) > _SHOWN:
        print(f"WRONG … and {len(report.findings) - _SHOWN} more")
    if report.late:
        print(f"{report.late} decisions were sealed more than an hour after they were received")
    result = f"{len(report.findings)} findings" if report.findings else "all of it holds"
    print(
        f"{report.leaves} sealed decisions under {report.heads} heads, {len(report.erased)} of them erased, "
        f"{report.waiting} waiting to be sealed: {result}"
    )
