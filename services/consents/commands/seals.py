"""`python -m services.consents seals …`: check the log of decisions, show its newest head to keep elsewhere, end what
can be proven of one decision.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from kielto import seals
from kielto.seals import Head, Keys, SealRefusedError
from kielto.service.database.pool import Pool
from kielto.service.support.crypto_keys import KeysError
from services.consents.store.decision_log import seals as store
from services.consents.use_cases.context import Context
from services.consents.use_cases.decision_log.append import erase
from services.consents.use_cases.decision_log.verify import LogReport, check

USAGE = "usage: seals verify [--jwks FILE] [--anchor FILE] | seals head | seals erase DECISION REASON"
_SHOWN = 200


class SealsCommand:
    """The command. 0: all holds; 1: something does not; 2: wrong usage."""

    def __init__(self, pool: Pool, context: Context) -> None:
        self._pool, self._context = pool, context

    async def __call__(self, arguments: Sequence[str]) -> int:
        try:
            match arguments:
                case ["head"]:
                    return await self._head()
                case ["erase", decision, why] if why.strip():
                    return await self._erase(UUID(decision), why)
                case ["verify", *options]:
                    given = _options(options)
                    if given is not None:
                        return await self._verify(**given)
        except (SealRefusedError, OSError, ValueError) as error:
            print(f"cannot be done: {error}", file=sys.stderr)
            return 1
        print(USAGE)
        return 2

    async def _head(self) -> int:
        async with self._pool.acquire() as conn:
            token = await store.last_head(conn)
        if token is None:
            print("nothing is sealed yet", file=sys.stderr)
            return 1
        head = seals.read_head(token, await self._keys(None))
        print(json.dumps({"head": token, **head._asdict()}, indent=1))
        return 0

    async def _erase(self, decision: UUID, why: str) -> int:
        if not await erase(self._pool, self._context.keys.seal_key, decision, why):
            print("not erased: it is not sealed (yet), or was erased before", file=sys.stderr)
            return 1
        print("its salt is erased: the decision holds as before, nothing can be proven of it any more")
        return 0

    async def _verify(self, jwks: Path | None = None, anchor: Path | None = None) -> int:
        keys = await self._keys(jwks)
        report = await check(self._pool, keys, _anchor(anchor, keys), _progress)
        _clear()
        _print(report)
        if jwks is None:
            print(
                "the keys are those of the register itself: a log that was rewritten as a whole and signed anew with "
                "another key would hold, too; give --jwks FILE with the keys that are kept elsewhere"
            )
        return 1 if report.findings else 0

    async def _keys(self, jwks: Path | None) -> Keys:
        """Those of the file, or else all that the register itself says it used: whoever can rewrite the register can
        add one there."""
        if jwks is not None:
            return seals.key_set(_read(jwks))
        async with self._pool.acquire() as conn:
            known = dict(seals.key_set({"keys": await store.keys(conn)}))
        try:
            own = self._context.keys.seal_key
        except KeysError:
            return known
        return known | {own.thumbprint(): own}


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
        raise SealRefusedError("the anchor: is not what `seals head` prints")
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
    verdict = f"{len(report.findings)} findings" if report.findings else "all of it holds"
    print(
        f"{report.leaves} sealed decisions under {report.heads} heads, {len(report.erased)} of them erased, "
        f"{report.waiting} waiting to be sealed: {verdict}"
    )
