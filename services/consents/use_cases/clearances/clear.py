"""Clear a campaign's recipients: whom it may reach now, read and recorded under their locks, answered after the commit.

What is allowed is what the company's own records say, by the function that the subscribers' gate asks too
(`kielto.subscriber.gate.permits`): the records are in the database already, so nothing of it can be stale.
"""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import asyncpg

from kielto.errors import KieltoError
from kielto.events import topics
from kielto.events.versions import record_bytes
from kielto.events.words import PointKind
from kielto.service.database.pool import Conn, Pool, transaction
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.yielding import in_turns
from kielto.subscriber.gate import permits
from kielto.subscriber.gate.permits import PermitRecord
from kielto.subscriber.gate.questions import Question, Reason
from kielto.subscriber.records.content import Shapes, hash64
from kielto.subscriber.records.decode import Decoder
from services.consents.model.decisions import RecordedDecision
from services.consents.model.evaluate import evaluate
from services.consents.model.facts import CustomerFacts, Person, PointFacts
from services.consents.model.rules_file import Judgement
from services.consents.store.clearances import clearances
from services.consents.store.clearances.clearances import (
    ClearanceHolders,
    ClearancePart,
    ClearanceRequest,
    Holder,
    Result,
)
from services.consents.store.decisions.decisions import decision_of
from services.consents.store.permissions.locks import SubjectsMovedError
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.whereabouts import subscribers

CLEAR_SECONDS = 10.0
"""For which a clearance is valid, if the operator sets nothing else."""
_ATTEMPTS = 20
PART = 500
"""Recipients: their locks are held for some tenths of a second."""
_AT_ONCE = 50
"""Recipients that are judged before the event loop goes round. Not `beside` it: what waited there for another batch
would keep the locks of its part meanwhile."""
_NOBODY = UUID(int=0)
_FORGET_SECONDS = 3600.0


class OverdueSubscriberError(KieltoError):
    """A subscriber of the company has not applied decisions by its deadline, and the operator refuses such ones."""


class Wanted(NamedTuple):
    """A recipient: `ref` names whom the company means; `question` is the gate's. `digest`: of the address, if any;
    `address`: its ref."""

    ref: str
    question: Question
    digest: bytes | None
    address: str | None = None


_OTHERS = 20
"""Of those who have an address with somebody else, so many are recorded besides: no batch's record is too large."""


class ClearanceAnswer(NamedTuple):
    id: UUID
    results: list[Result]


async def clear(
    pool: Pool,
    context: Context,
    asked: ClearanceRequest,
    wanted: Sequence[Wanted],
    valid_seconds: float,
    turns: asyncio.Semaphore,
) -> ClearanceAnswer:
    """Answer and record in parts of `PART` recipients, each in its own transaction, so that no decision waits for a
    whole batch. All parts expire together. A recipient who is asked for twice is evaluated and recorded once.

    Raises NotPrimaryError, EpochNotOpenError, UnreadableDecisionError; TimeoutError when the subjects keep changing.
    """
    ident, until, results = uuid4(), None, list[Result]()
    distinct = list({_what(one): one for one in wanted}.values())
    for number, first in enumerate(range(0, len(distinct), PART)):
        begun = _Begun(ident, number, valid_seconds, until)
        async with turns:
            part, found = await _part(pool, context, asked, distinct[first : first + PART], begun)
        results += found
        until = part.valid_until
    answers = dict(zip(map(_what, distinct), results, strict=True))
    return ClearanceAnswer(ident, [answers[_what(one)] for one in wanted])


def _what(wanted: Wanted) -> tuple[object, ...]:
    """Equal of two that are answered alike."""
    return wanted.ref, wanted.digest or wanted.question.address


class _Begun(NamedTuple):
    id: UUID
    number: int
    valid_seconds: float
    until: datetime | None
    """When the parts before run out."""

    def at(self, at: datetime) -> ClearancePart:
        return ClearancePart(
            self.id, self.number, at, self.until or at + timedelta(seconds=self.valid_seconds)
        )


async def _part(
    pool: Pool, context: Context, asked: ClearanceRequest, wanted: Sequence[Wanted], begun: _Begun
) -> tuple[ClearancePart, list[Result]]:
    for _ in range(_ATTEMPTS):
        try:
            async with transaction(pool) as conn:
                return await _clear(conn, context, asked, wanted, begun)
        except SubjectsMovedError:
            continue
        except asyncpg.ReadOnlySQLTransactionError:
            raise clearances.NotPrimaryError from None
    raise TimeoutError("those concerned keep changing")


async def refuse_overdue(pool: Pool, context: Context, company: str) -> None:
    """Raises OverdueSubscriberError."""
    found = await subscribers(pool, context, f"company.{company}")
    if any(state.overdue for _, state in found):
        raise OverdueSubscriberError


async def forget_for_ever(pool: Pool, days: int) -> None:
    """Deletes records of clearances that are older, for ever."""
    while True:
        await clearances.forget(pool, datetime.now(UTC) - timedelta(days=days))
        await asyncio.sleep(_FORGET_SECONDS)


async def _clear(
    conn: Conn, context: Context, asked: ClearanceRequest, wanted: Sequence[Wanted], begun: _Begun
) -> tuple[ClearancePart, list[Result]]:
    """A decision about many customers does not wait for their locks (`portions.py`): one that is committed before the
    load is seen by it, and one that comes later comes after `at`, too.
    """
    refs = list(dict.fromkeys(w.ref for w in wanted))
    locked = await clearances.lock(conn, asked.company, refs)
    part = begun.at(await clearances.now(conn))
    parties = [f"company.{asked.company}", *([f"partner.{asked.partner}"] if asked.partner else [])]
    await clearances.must_not_be_held(conn, [topics.decisions(party) for party in parties])
    found = await clearances.load(conn, asked.company, refs, locked)
    strangers = await _strangers(conn, context, asked, wanted, found)
    judge = _ClearanceCheck(context.keys, asked.company, found)
    results = [
        result._replace(reason=Reason.ALLOWED) if result.ref in strangers else result
        async for result in in_turns(map(judge.result, wanted), _AT_ONCE)
    ]
    await clearances.add(conn, part, asked, results)
    return part, results


class _ClearanceCheck:
    """The company's records of those who are asked about, and of nobody else."""

    def __init__(self, keys: Keys, company: str, found: ClearanceHolders) -> None:
        self._keys, self._family, self._holders = keys, f"company.{company}", found.holders
        self._decoder, self._now = Decoder(Shapes()), datetime.now(UTC).timestamp()
        self._records: dict[str, PermitRecord] = {}

    def result(self, wanted: Wanted) -> Result:
        """Each customer who has the number, or of whom the company has the address, has to permit it."""
        asked = self._asked(wanted)
        held = sorted(
            h for h in self._holders.get(wanted.ref, ()) if self._has(self._record(h), wanted, asked)
        )
        reason = Reason.UNKNOWN
        for holder in held:
            if holder.owed:
                return Result(wanted.ref, Reason.DENIED, holder, address=wanted.address)
            reason = permits.permits([self._record(holder)], asked).reason
            if reason is not Reason.ALLOWED:
                return Result(wanted.ref, Reason.DENIED, holder, address=wanted.address)
        others = tuple(held[1 : 1 + _OTHERS])
        return Result(wanted.ref, reason, held[0] if held else None, others, wanted.address)

    def _record(self, holder: Holder) -> PermitRecord:
        if holder.key not in self._records:
            self._records[holder.key] = _held(self._decoder, holder, self._now)
        return self._records[holder.key]

    def _has(self, record: PermitRecord, wanted: Wanted, asked: permits.RecordQuestion) -> bool:
        """Asked by an address alone: not of a customer of whom only others state it."""
        if asked.address is None or not wanted.ref.startswith("p:"):
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
            points = self._keys.points(self._family, wanted.digest)
        address = None if points is None else frozenset(map(hash64, points))
        return permits.RecordQuestion(question.channel, terms, question.product_group, address)


def _held(decoder: Decoder, holder: Holder, now: float) -> PermitRecord:
    """The record as it stands on the topic, read as a subscriber reads it."""
    value = record_bytes(holder.version, holder.body)
    content = decoder.stored(holder.key, holder.version, value)
    over = "the permission has ended" if permits.ended(content.until, now) else None
    return PermitRecord(decoder.shapes[content.shape], content.hashes, over)


async def _strangers(
    conn: Conn, context: Context, asked: ClearanceRequest, wanted: Sequence[Wanted], found: ClearanceHolders
) -> set[str]:
    """Refs of addresses that nobody in the group is known by, and that the law's table lets be reached.

    Whoever is another company's customer counts as not allowed, and reads as unknown: the answer tells nobody whose
    customer a stranger is. As shipped (`marketing_to_prospects` is off) no stranger may be reached.
    """
    if not context.rules.switches[Judgement.MARKETING_TO_PROSPECTS]:
        return set()
    refs = {w.ref for w in wanted if w.ref.startswith("p:")} - found.holders.keys() - found.elsewhere
    if not refs:
        return set()
    await clearances.lock_points(conn, sorted(refs))
    # Raises SubjectsMovedError: by now they are the company's customers. Another company's may have come, too.
    refs -= (await clearances.load(conn, asked.company, sorted(refs), set())).elsewhere
    said: dict[str, list[RecordedDecision]] = {ref: [] for ref in refs}
    for row in await clearances.said(conn, list(refs)):
        said[row["asked"]].append(decision_of(dict(row), _NOBODY, known_by=row["known_by"]))
    question = wanted[0].question
    return {ref for ref, decisions in said.items() if _may_reach(context, asked, question, ref, decisions)}


def _may_reach(
    context: Context,
    asked: ClearanceRequest,
    question: Question,
    ref: str,
    decisions: Iterable[RecordedDecision],
) -> bool:
    kind = PointKind.EMAIL if question.channel == "email" else PointKind.PHONE
    point = PointFacts(_NOBODY, kind, ref.partition(":")[2].encode())
    person = Person(CustomerFacts(_NOBODY, points=(point,)))
    terms = (asked.company, asked.channel, asked.purpose, asked.partner, asked.mode)
    for cell, ruling in evaluate(person, decisions, context.facts, context.rules):
        if (cell.company, cell.channel, cell.purpose, cell.partner, cell.mode) == terms:
            groups = ruling.product_groups
            return ruling.allowed and (groups is None or asked.product_group in groups)
    return False
