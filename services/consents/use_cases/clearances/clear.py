"""Clear a campaign's recipients: read whom it may reach now and record it under their locks, answer after the commit.

The company's own records decide, by the function that the subscribers' gate asks too
(`kielto.subscriber.gate.permits`). The records are read from the database, so nothing of it can be stale.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import asyncpg

from kielto.errors import KieltoError
from kielto.events import topics
from kielto.events.party import Party
from kielto.events.versions import record_bytes
from kielto.service.database.pool import Conn, server_time
from kielto.service.support.yielding import in_turns
from kielto.subscriber.gate import permits
from kielto.subscriber.gate.permits import PermitRecord
from kielto.subscriber.gate.questions import Question
from kielto.subscriber.records.content import Shapes, hash64
from kielto.subscriber.records.decode import Decoder
from services.consents.model.clearance import ClearanceReason, ClearanceRequest
from services.consents.model.ref import Ref
from services.consents.store import clearances
from services.consents.store.clearances import ClearanceHolders, ClearancePart, Holder, Result
from services.consents.use_cases.clearances.strangers import reachable_strangers
from services.consents.use_cases.context import Context, settled
from services.consents.use_cases.propagation.overdue import statuses

PART = 500
"""Recipients in a transaction: their locks are held for some tenths of a second."""
_FORGET_SECONDS = 3600.0
_OTHERS = 20
"""How many of those who share the recipient's address are recorded, so that no record becomes too large."""


class OverdueSubscriberError(KieltoError):
    """A subscriber of the company is overdue, and the operator has made that a reason to clear nobody."""


class NotPrimaryError(KieltoError):
    """The database follows another one, so what it knows may be old."""


class UnreadableDecisionError(KieltoError):
    """A message of the party is in quarantine and may be a ban of anybody: nothing is cleared meanwhile."""


class Wanted(NamedTuple):
    """A recipient: `ref` names whom the company means; `question` is the gate's. `digest`: of the address, if any;
    `address`: its ref, or the point itself on a channel whose addresses have no normal form.
    """

    ref: Ref
    question: Question
    digest: bytes | None
    address: str | None = None


_Cleared = tuple[datetime, list[Result]]
"""When the clearance expires, and the results of a part."""


class ClearanceAnswer(NamedTuple):
    id: UUID
    results: list[Result]


async def clear(
    context: Context, request: ClearanceRequest, wanted: Sequence[Wanted], turns: asyncio.Semaphore
) -> ClearanceAnswer:
    """Answer and record in parts of `PART` recipients, each in its own transaction, so that no decision waits for a
    whole batch. All parts expire together. A recipient who is asked for twice is evaluated and recorded once.

    `turns` bounds the parts that are computed at the same time. Raises NotPrimaryError, EpochNotOpenError,
    UnreadableDecisionError; TimeoutError when the people concerned keep changing.
    """
    ident, until, results = uuid4(), None, list[Result]()
    distinct = list({_what(one): one for one in wanted}.values())
    for number, first in enumerate(range(0, len(distinct), PART)):
        some = distinct[first : first + PART]
        async with turns:
            until, found = await _clear_part(context, request, some, (ident, number), until)
        results += found
    answers = dict(zip(map(_what, distinct), results, strict=True))
    return ClearanceAnswer(ident, [answers[_what(one)] for one in wanted])


def _what(wanted: Wanted) -> tuple[object, ...]:
    """Equal for two recipients that have the same answer."""
    return wanted.ref, wanted.digest or wanted.question.address


async def _clear_part(
    context: Context,
    request: ClearanceRequest,
    wanted: Sequence[Wanted],
    place: tuple[UUID, int],
    until: datetime | None,
) -> _Cleared:
    """`place`: the clearance's id and the part's number. `until`: when the earlier parts expire."""
    try:
        return await settled(context, lambda conn: _clear(conn, context, request, wanted, place, until))
    except asyncpg.ReadOnlySQLTransactionError:
        raise NotPrimaryError from None


async def refuse_overdue(context: Context, company: str) -> None:
    """Raises OverdueSubscriberError."""
    if any(status.overdue for status in await statuses(context, Party.company(company))):
        raise OverdueSubscriberError


async def forget_for_ever(context: Context) -> None:
    """Delete records of clearances that are older than the setting, again and again until cancelled."""
    while True:
        age = timedelta(days=context.settings.clearance_days)
        await clearances.forget(context.pool, context.clock() - age)
        await asyncio.sleep(_FORGET_SECONDS)


async def _clear(
    conn: Conn,
    context: Context,
    request: ClearanceRequest,
    wanted: Sequence[Wanted],
    place: tuple[UUID, int],
    until: datetime | None,
) -> _Cleared:
    """A decision about many customers does not wait for their locks (`portions.py`): the load sees one that is
    committed before it, and one that comes later comes after `at`, too.
    """
    refs = list(dict.fromkeys(w.ref for w in wanted))
    locked = await clearances.lock(conn, request.company, refs)
    # Between the lock and the load: no decision that was committed by then is missing.
    at = await server_time(conn)
    until = until or at + timedelta(seconds=context.settings.clearance_seconds)
    parties = [Party.company(request.company)]
    if request.partner:
        parties.append(Party.partner(request.partner))
    if await clearances.has_unreadable(conn, [topics.decisions(party) for party in parties]):
        raise UnreadableDecisionError
    found = await clearances.load(conn, request.company, refs, locked)
    strangers = await reachable_strangers(conn, context, request, refs, found)
    check = _ClearanceCheck(context, request.company, found)
    results = [
        result._replace(reason=ClearanceReason.ALLOWED) if result.ref in strangers else result
        async for result in in_turns(map(check.result, wanted))
    ]
    await clearances.add(conn, ClearancePart(*place, at, until), request, results)
    return until, results


class _ClearanceCheck:
    """Asks the company's records of the recipients, and nobody else's."""

    def __init__(self, context: Context, company: str, found: ClearanceHolders) -> None:
        self._keys, self._party, self._holders = context.keys, Party.company(company), found.holders
        self._decoder, self._now = Decoder(Shapes()), context.clock().timestamp()
        self._records: dict[str, PermitRecord] = {}

    def result(self, wanted: Wanted) -> Result:
        """Each customer who has the number, or of whom the company has the address, has to permit it."""
        asked = self._asked(wanted)
        held = sorted(
            h for h in self._holders.get(wanted.ref, ()) if self._has(self._record(h), wanted, asked)
        )
        reason = ClearanceReason.UNKNOWN
        for holder in held:
            if holder.owed:
                return Result(wanted.ref, ClearanceReason.DENIED, holder, address=wanted.address)
            answer = permits.permits([self._record(holder)], asked)
            if not answer.allowed:
                return Result(wanted.ref, ClearanceReason.DENIED, holder, address=wanted.address)
            reason = ClearanceReason.ALLOWED
        others = tuple(held[1 : 1 + _OTHERS])
        return Result(wanted.ref, reason, held[0] if held else None, others, wanted.address)

    def _record(self, holder: Holder) -> PermitRecord:
        """The record as it stands on the topic, read as a subscriber reads it."""
        if holder.key not in self._records:
            value = record_bytes(holder.version, holder.body)
            content = self._decoder.stored(holder.key, holder.version, value)
            over = "the permission has ended" if permits.ended(content.until, self._now) else None
            shape = self._decoder.shapes[content.shape]
            self._records[holder.key] = PermitRecord(shape, content.hashes, over)
        return self._records[holder.key]

    def _has(self, record: PermitRecord, wanted: Wanted, asked: permits.RecordQuestion) -> bool:
        """Whether the company has the address of this customer; it has none that only others state."""
        if asked.address is None or not wanted.ref.is_point:
            return True
        return not asked.address.isdisjoint(record.hashes[record.shape.numbers :])

    def _asked(self, wanted: Wanted) -> permits.RecordQuestion:
        question = wanted.question
        terms = (
            str(question.purpose),
            question.partner,
            None if question.mode is None else str(question.mode),
        )
        points: Iterable[str] | None = None if question.address is None else (question.address,)
        if wanted.digest is not None:
            points = self._keys.points(self._party, wanted.digest)
        address = None if points is None else frozenset(map(hash64, points))
        return permits.RecordQuestion(question.channel, terms, question.product_group, address)
