"""The result of each message on a party's decisions topic, written to its results topic in the message's transaction.

A result does not say whether anybody knows the subject: a stranger and another company's customer look alike.
"""

from typing import NamedTuple
from uuid import UUID

from kielto.events import topics
from kielto.events.results import DecisionResult, ResultReason, ResultStatus
from kielto.service.database.pool import Conn, in_transaction
from kielto.service.inbox.handlers import Meta
from kielto.service.outbox import publish
from services.consents.store.decisions import results
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.receipt import DecisionOutcome

_FIELD, _RULE = 60, 200


async def list_results(context: Context, party: str, after: int, limit: int) -> list[results.KeptResult]:
    """The results that the party was sent, oldest first, from behind the number `after`."""
    return await in_transaction(context.pool, lambda conn: results.listed(conn, party, after, limit))


class MessageOrigin(NamedTuple):
    """The message that a result is about: the party's own id of the decision (None: unreadable), its position."""

    context: Context
    party: str
    ident: UUID | None
    meta: Meta


async def taken(conn: Conn, about: MessageOrigin, outcome: DecisionOutcome | None, decision: UUID) -> None:
    """`outcome` None: it was taken before, under our id `decision`."""
    if outcome is None:
        await _report(conn, about, ResultStatus.REPEATED, decision)
        return
    broken = outcome.decision.widened
    status = ResultStatus.WIDENED if broken else ResultStatus.TAKEN
    status = ResultStatus.HELD if outcome.held else status
    await _report(conn, about, status, outcome.decision.id, tuple(map(_reason, broken)))


async def waiting(conn: Conn, about: MessageOrigin, decision: UUID) -> None:
    await _report(conn, about, ResultStatus.WAITING, decision)


async def refused(conn: Conn, about: MessageOrigin, why: str) -> None:
    """`why`: `field: rule`."""
    await _report(conn, about, ResultStatus.REFUSED, None, (_reason(why),))


async def _report(
    conn: Conn,
    about: MessageOrigin,
    status: ResultStatus,
    decision: UUID | None,
    reasons: tuple[ResultReason, ...] = (),
) -> None:
    context, party, ident, meta = about
    if party not in context.group.parties:
        return  # it has left: nobody writes to its topics
    result = DecisionResult(
        id=ident,
        partition=meta.partition,
        offset=meta.offset,
        status=status,
        decision=context.keys.pairwise(party, decision) if decision else None,
        reasons=reasons,
        at=context.clock(),
    )
    key = str(ident or f"{meta.partition}@{meta.offset}")
    await publish.report(conn, topics.results(party), key, result, source="consents")
    await results.keep(conn, party, result)


def _reason(why: str) -> ResultReason:
    field, _, rule = why.partition(": ")
    return ResultReason(field=field[:_FIELD] or "message", rule=(rule or field)[:_RULE])
