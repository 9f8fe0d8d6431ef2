"""The commands of every service: quarantine, backfills, the epoch; and those that the service brings."""

import asyncio
import getpass
import os
from collections.abc import Sequence
from uuid import UUID

import asyncpg

from kielto.service.database import audit_entry, epoch
from kielto.service.database import pool as postgres
from kielto.service.database.pool import Pool, transaction
from kielto.service.inbox.handlers import PermanentError
from kielto.service.inbox.quarantine import NotQuarantinedError, Quarantine
from kielto.service.outbox import backfills
from kielto.service.process.platform import Service
from kielto.service.support.logs import where

USAGE = (
    "usage: migrate | quarantine list | quarantine replay ID [--why TEXT] | quarantine discard ID [--why TEXT]"
    " | snapshot FAMILY|--all [--wait] | epoch | epoch begin [--why TEXT]"
)
_OWN = (
    "quarantine list",
    "quarantine replay",
    "quarantine discard",
    "snapshot",
    "epoch begin",
    "epoch",
)
_LOOK_SECONDS = 1.0


async def run(arguments: Sequence[str], pool: Pool, quarantine: Quarantine, service: Service) -> int:
    """Run a command; returns the exit status: 0 done, 1 failed, 2 wrong usage. Of errors only the kind is printed,
    since a database error's text may quote values.
    """
    entry = _entry(arguments, service)
    audit_entry.begin(entry)
    try:
        code = await _run(arguments, pool, quarantine, service)
    except Exception as error:  # noqa: BLE001 - its text may quote values
        print(f"not done: {_why(error)}")
        code = 1
    if not entry.written:
        await entry.write(pool, "ok" if code == 0 else "refused", None if code == 0 else f"exit {code}")
    return code


def _name(arguments: Sequence[str], service: Service) -> str | None:
    """The command that the arguments begin with, as it is registered (`seals verify`, `erase`); None: no command."""
    named = (" ".join(arguments[:count]) for count in (2, 1))
    return next((name for name in named if name in _OWN or name in service.commands), None)


def _entry(arguments: Sequence[str], service: Service) -> audit_entry.AuditEntry:
    """The audit-trail entry of the command: its name and the ids among its words, nothing else."""
    action = f"command {_name(arguments, service) or ''}".rstrip()
    subjects = [ident for word in arguments if (ident := _uuid(word)) is not None]
    return audit_entry.AuditEntry(
        lambda: action, lambda: (f"operator:{_operator()}", None, ["operator"]), lambda: subjects
    )


def _operator() -> str:
    """Who is at the shell: KIELTO_OPERATOR, or else the system's user."""
    if name := os.environ.get("KIELTO_OPERATOR"):
        return name[:100]
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _why(error: Exception) -> str:
    """What happened and what to do."""
    kind = type(error).__name__
    if isinstance(error, PermanentError):
        return error.reason
    if isinstance(error, NotQuarantinedError):
        return str(error)
    if isinstance(error, epoch.EpochNotOpenError):
        return "no epoch is open: let the service run with Kafka until one is (`epoch` shows it)"
    if isinstance(error, postgres.AWAY):
        return f"{kind}: the database is away or busy; nothing was changed: try again"
    if isinstance(error, asyncpg.DataError):
        return f"{kind}: the database can never store this; discard it"
    return f"{kind} at {where(error)}; nothing was changed: try again, and if it stays, mend the cause first"


async def _run(arguments: Sequence[str], pool: Pool, quarantine: Quarantine, service: Service) -> int:
    name = _name(arguments, service)
    if name is not None and name in service.commands:
        return await service.commands[name](arguments[1:])
    match arguments:
        case _ if name is None:
            pass  # the audit trail would not name it
        case ["quarantine", "list"]:
            return await _list(quarantine)
        case ["quarantine", "replay" | "discard" as verb, ident, *why] if ident.isdigit() and _is_option(
            "--why", why
        ):
            close = quarantine.replay if verb == "replay" else quarantine.discard
            await close(int(ident), by="command", note=why[1] if why else None)
            print(f"{verb}ed")
            return 0
        case ["snapshot", which, *rest] if rest in ([], ["--wait"]):
            return await _snapshot(pool, service, which, wait=bool(rest))
        case ["epoch"]:
            print(await epoch.describe(pool))
            return 0
        case ["epoch", "begin", *why] if _is_option("--why", why):
            return await _begin_epoch(pool, why[1] if why else "by command")
    print(" | ".join([USAGE, *service.commands]))
    return 2


def _is_option(name: str, words: Sequence[str]) -> bool:
    return not words or (len(words) == 2 and words[0] == name)


async def _list(quarantine: Quarantine) -> int:
    after = 0
    while found := await quarantine.listed(after=after):
        for kept in found:
            place = f"{kept.topic}/{kept.partition}@{kept.offset}"
            print(f"{kept.id}\t{kept.at:%Y-%m-%dT%H:%M:%SZ}\t{place}\t{kept.reason}")
        after = found[-1].id
    return 0


async def _snapshot(pool: Pool, service: Service, which: str, *, wait: bool) -> int:
    """Ask for a backfill; the bulk relay, in whatever process, does the work."""
    own = sorted(family.name for family in service.families)
    if which != "--all" and which not in own:
        print(f"not a family of this service; those are: {', '.join(own)}")
        return 1
    wanted = own if which == "--all" else [which]
    async with transaction(pool) as conn:
        asked = {name: await backfills.request(conn, name) for name in wanted}
    for name, generation in asked.items():
        print(f"{name}\tgeneration {generation}\trequested")
    while wait and asked:
        for step in await backfills.progress(pool, asked):
            print(f"{step.family}\tgeneration {step.generation}\t{step.words}", flush=True)
            if step.finished:
                del asked[step.family]
        await asyncio.sleep(_LOOK_SECONDS if asked else 0)
    return 0


async def _begin_epoch(pool: Pool, why: str) -> int:
    """Decisions are refused until it is open; the leader of the express lane, in whatever process, does the work."""
    before = await epoch.end(pool, why)
    if before is None:
        raise epoch.EpochNotOpenError
    print(f"epoch {before}\tended", flush=True)
    await epoch.until_checked(pool)
    print(f"epoch {await epoch.current(pool)}\topen; gates stay shut until its backfills are complete")
    return 0
