"""Clear a campaign's recipients: whom it may reach now, read and recorded under their locks, answered after the commit.

What is allowed is what the company's own records say, asked by the very code of the subscribers' gate
(`kielto.subscriber.gate`): the records are in the database already, so nothing of it can be stale.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import asyncpg

from kielto.events.topics import Lane, permissions_of
from kielto.events.words import PointKind
from kielto.service.keys import Keys
from kielto.service.postgres import Conn, Pool, transaction
from kielto.subscriber.content import hash64
from kielto.subscriber.decode import Decoder
from kielto.subscriber.denials import Denials
from kielto.subscriber.follower import Follower, Shut
from kielto.subscriber.gate import Gate, Party
from kielto.subscriber.questions import Question, Reason
from services.consents.model.decisions import Decision
from services.consents.model.evaluate import evaluate
from services.consents.model.facts import Customer, Person, Point
from services.consents.model.rules_file import Judgement
from services.consents.store import clearances
from services.consents.store.clearances import Asked, Found, Holder, Result
from services.consents.store.decisions import decision_of
from services.consents.store.locks import Moved
from services.consents.use_cases.context import Context
from services.consents.use_cases.locate import subscribers

CLEAR_SECONDS = 10.0
"""For which a clearance is valid, if the operator sets nothing else."""
_ATTEMPTS = 20
_INLINE = 100
"""Up to so many recipients are judged at once; more in a thread, so that others are answered meanwhile."""
_NOBODY = UUID(int=0)
_FORGET_SECONDS = 3600.0


class Overdue(Exception):
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


class Cleared(NamedTuple):
    id: UUID
    results: list[Result]


async def clear(
    pool: Pool, context: Context, asked: Asked, wanted: Sequence[Wanted], valid_seconds: float
) -> Cleared:
    """In a transaction of its own. Raises NotPrimary, NotClaimed, or TimeoutError: those concerned keep changing."""
    for _ in range(_ATTEMPTS):
        try:
            async with transaction(pool) as conn:
                return await _clear(conn, context, asked, wanted, valid_seconds)
        except Moved:
            continue
        except asyncpg.ReadOnlySQLTransactionError:
            raise clearances.NotPrimary from None
    raise TimeoutError("those concerned keep changing")


async def refuse_overdue(pool: Pool, context: Context, company: str) -> None:
    """Raises Overdue."""
    found = await subscribers(pool, context, f"company.{company}")
    if any(state.overdue for _, state in found):
        raise Overdue


async def forget_for_ever(pool: Pool, days: int) -> None:
    """Deletes records of clearances that are older, for ever."""
    while True:
        await clearances.forget(pool, datetime.now(UTC) - timedelta(days=days))
        await asyncio.sleep(_FORGET_SECONDS)


async def _clear(
    conn: Conn, context: Context, asked: Asked, wanted: Sequence[Wanted], valid_seconds: float
) -> Cleared:
    refs = list(dict.fromkeys(w.ref for w in wanted))
    locked = await clearances.lock(conn, refs)
    found = await clearances.load(conn, asked.company, refs, locked)
    strangers = await _strangers(conn, context, asked, wanted, found)
    work = _Judge(context.keys, asked.company, wanted, found).results
    judged = work() if len(wanted) <= _INLINE else await asyncio.to_thread(work)
    results = [
        result._replace(reason=Reason.ALLOWED) if result.ref in strangers else result for result in judged
    ]
    ident = uuid4()
    await clearances.add(conn, ident, asked, valid_seconds, results)
    return Cleared(ident, results)


class _Current(Follower):
    """Of records as the database holds them now: there is nothing to wait for, and nothing to be swept."""

    def gate(self, partition: int, now: float) -> Shut | None:  # noqa: ARG002
        return None

    def swept(self, row: int) -> bool:  # noqa: ARG002
        return False


class _Party(Party):
    """A party as its gate sees it. `digests`: of each address, which is normalised once."""

    keys: Keys
    digests: Mapping[str, bytes]

    def hashes(self, kind: PointKind, value: str) -> frozenset[int]:  # noqa: ARG002
        return frozenset(map(hash64, self.keys.points(self.name, self.digests[value])))


class _Judge:
    """A gate before the records of those who are asked about, and of nobody else."""

    def __init__(self, keys: Keys, company: str, wanted: Sequence[Wanted], found: Found) -> None:
        family = f"company.{company}"
        self._party = _Party(family, {})
        self._party.keys = keys
        self._party.digests = {
            w.question.address: w.digest for w in wanted if w.question.address and w.digest
        }
        self._family, self._wanted, self._holders = family, wanted, found.holders

    def results(self) -> list[Result]:
        follower = _Current(0, durable=False)
        decoder = Decoder(follower.image.shapes)
        holders = {h.key: h for held in self._holders.values() for h in held}
        records = [decoder.stored(h.key, h.version, _value(h)) for h in holders.values()]
        follower.read(Lane.BULK, [(0, offset, content) for offset, content in enumerate(records)])
        gate = Gate(self._party, follower, Denials(permissions_of(self._family).name))
        return [self._result(gate, one) for one in self._wanted]

    def _result(self, gate: Gate, wanted: Wanted) -> Result:
        """Each customer who has the number or address has to permit it, whether their record lists it or not."""
        held = sorted(self._holders.get(wanted.ref, ()))
        reason = Reason.UNKNOWN
        for holder in held:
            reason = gate.may(_about(wanted.question, holder)).reason
            if reason is not Reason.ALLOWED:
                return Result(wanted.ref, Reason.DENIED, holder, address=wanted.address)
        others = tuple(held[1 : 1 + _OTHERS])
        return Result(wanted.ref, reason, held[0] if held else None, others, wanted.address)


def _about(question: Question, holder: Holder) -> Question:
    return Question(
        question.purpose,
        question.channel,
        customer=holder.key,
        address=question.address,
        product_group=question.product_group,
        partner=question.partner,
        mode=question.mode,
    )


def _value(holder: Holder) -> bytes:
    """As it stands on the topic."""
    return f'{{"version":"{holder.version}",{holder.body[1:]}'.encode()


async def _strangers(
    conn: Conn, context: Context, asked: Asked, wanted: Sequence[Wanted], found: Found
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
    arrived = await clearances.load(
        conn, asked.company, sorted(refs), set()
    )  # raises Moved: they are known by now
    assert not arrived.holders
    said: dict[str, list[Decision]] = {ref: [] for ref in refs}
    for row in await clearances.said(conn, list(refs)):
        said[row["ref"]].append(decision_of(dict(row), _NOBODY))
    question = wanted[0].question
    return {ref for ref, decisions in said.items() if _may_reach(context, asked, question, ref, decisions)}


def _may_reach(
    context: Context, asked: Asked, question: Question, ref: str, decisions: Iterable[Decision]
) -> bool:
    kind = PointKind.EMAIL if question.channel == "email" else PointKind.PHONE
    point = Point(_NOBODY, kind, ref.partition(":")[2].encode())
    person = Person(Customer(_NOBODY, points=(point,)))
    terms = (asked.company, asked.channel, asked.purpose, asked.partner, asked.mode)
    for cell, ruling in evaluate(person, decisions, context.facts, context.rules):
        if (cell.company, cell.channel, cell.purpose, cell.partner, cell.mode) == terms:
            groups = ruling.product_groups
            return ruling.allowed and (groups is None or asked.product_group in groups)
    return False
