"""A yes on a party's topic about somebody whom the party does not know yet: kept encrypted until they are known, or for
days.

Whoever takes in a fact that names its subject marks it as due in the same transaction; any process then decides it,
with the time at which the broker had it. It is removed in the transaction that takes it: a kill loses and doubles
nothing. A restriction that is said meanwhile stays, since a yes lifts only what it cites.
"""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import structlog
from cryptography.exceptions import InvalidTag

from kielto.events.messages import Decision
from kielto.events.topics import decisions
from kielto.service.database import epoch
from kielto.service.database.pool import AWAY, Conn, transaction
from kielto.service.inbox.handlers import Meta
from kielto.service.support.limits import FIXED
from kielto.service.support.supervise import Backoff, supervise
from services.consents import metrics
from services.consents.store.decisions import waiting as store
from services.consents.store.permissions import locks
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions import results
from services.consents.use_cases.decisions.command import Command

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_COUNT_SECONDS = 30.0
_EXPIRED_AT_ONCE = 500

Again = Callable[[Conn, str, Decision, Meta], Awaitable[bool]]
"""Decide a party's message anew, and tell its result; False: it has to wait on."""


class _TakenElsewhereError(Exception):
    """Another process took it."""


class _UnreadableYesError(Exception):
    """The stored *yes* cannot be decrypted or parsed."""


async def keep(conn: Conn, about: results.MessageOrigin, said: Decision, command: Command) -> None:
    """Keep the yes, and send its result: waiting, repeated, or refused when as many of the party wait as may."""
    context, party, _, meta = about
    assert command.content is not None
    if await store.is_full(conn, party, command.id, context.limits.waiting_yeses):
        await results.refused(
            conn, about, "subject: must be a customer of the company, for a yes; too many others wait already"
        )
        return
    encrypted = context.keys.message_cipher.encrypt(
        said.model_dump_json().encode(), _place(party, command.id)
    )
    one = store.WaitingYes(
        command.id, party, said.id, meta.partition, meta.offset, meta.timestamp_ms, encrypted
    )
    held = await store.add(conn, one, command.subject.ref, command.content)
    if held is None:
        await results.waiting(conn, about, command.id)
    elif held == command.content:
        await results.taken(conn, about, None, command.id)
    else:
        await results.refused(conn, about, "id: must not be the id of a decision that says something else")


async def work_off_for_ever(context: Context, again: Again) -> None:
    """Decide waiting yeses whose people became known, and refuse those that waited too long."""

    async def work() -> None:
        while True:
            while await work_off(context, again):
                pass
            await expire(context)
            await asyncio.sleep(_LOOK_SECONDS)

    await supervise("waiting yeses", work, (*AWAY, epoch.EpochNotOpenError), Backoff(_LOOK_SECONDS, 5.0))


async def measure_for_ever(context: Context) -> None:
    """Update the metrics."""
    while True:
        for party, count in (await store.counted(context.pool, context.group.parties)).items():
            metrics.WAITING_YESES.labels(party).set(count)
        await asyncio.sleep(_COUNT_SECONDS)


async def work_off(context: Context, again: Again) -> bool:
    """Decide one waiting yes; False when none is due."""
    try:
        async with transaction(context.pool) as conn:
            one = await store.next_due(conn, context.group.parties)
            if one is None:
                return False
            await _again(conn, context, one, again)
    except (locks.SubjectsMovedError, _TakenElsewhereError):
        pass
    return True


async def _again(conn: Conn, context: Context, one: store.WaitingYes, again: Again) -> None:
    meta = Meta(decisions(one.party), UUID(int=0), one.partition, one.offset, one.timestamp_ms)
    try:
        async with conn.transaction():
            decided = await again(conn, one.party, _opened(context, one), meta)
    except (_UnreadableYesError, asyncpg.DataError) as error:
        log.error("waiting_yes.unreadable", party=one.party, error=type(error).__name__)  # noqa: TRY400
        await _remove(conn, one)
        about = results.MessageOrigin(context, one.party, one.ident, meta)
        await results.refused(conn, about, "message: can no longer be read; send it again under another id")
        return
    if not decided:
        await store.not_yet(conn, one.decision)
        return
    await _remove(conn, one)
    await store.counts_from_now(conn, one.decision)


def _opened(context: Context, one: store.WaitingYes) -> Decision:
    """Decrypt the yes. Raises _UnreadableYesError under another key or of a newer version: no attempt can succeed, and
    those behind it must not wait for it.
    """
    assert one.encrypted is not None  # what is erased is not due
    try:
        return Decision.read(
            context.keys.message_cipher.decrypt(one.encrypted, _place(one.party, one.decision))
        )
    except (InvalidTag, ValueError):
        raise _UnreadableYesError from None


async def _remove(conn: Conn, one: store.WaitingYes) -> None:
    if not await store.remove(conn, one.decision):
        raise _TakenElsewhereError


async def expire(context: Context) -> None:
    """Refuse yeses that waited too long; the result is the same if somebody was known, and erased, meanwhile."""
    async with transaction(context.pool) as conn:
        for one in await store.expired(conn, FIXED.waiting_days, _EXPIRED_AT_ONCE):
            meta = Meta(decisions(one.party), UUID(int=0), one.partition, one.offset, one.timestamp_ms)
            about = results.MessageOrigin(context, one.party, one.ident, meta)
            await results.refused(conn, about, "subject: must become a customer within 7 days, for a yes")


def _place(party: str, decision: UUID) -> str:
    return f"waiting/{party}/{decision}"
