"""Compare reported deliveries with what was banned when they were sent; open, list and close breaches."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import structlog

from kielto.errors import KieltoError
from kielto.events.party import Party
from kielto.events.words import PointKind
from kielto.group import SubscriberSystem
from kielto.service.database.epoch import EpochNotOpenError
from kielto.service.database.pool import AWAY, Conn, in_transaction, transaction
from kielto.service.support.crypto_keys import Keys
from services.consents import metrics
from services.consents.model.breach import (
    Breach,
    BreachEvidence,
    BreachFinding,
    Delivery,
    SentMessage,
    banning,
    classify,
    points,
)
from services.consents.model.clearance import ClearanceReason, ClearanceRequest
from services.consents.model.facts import Person, PointFacts
from services.consents.model.ref import Ref
from services.consents.store import clearances, deliveries
from services.consents.store.permissions import state
from services.consents.store.propagation.whereabouts import whereabouts
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.evaluate_people import evaluate_people
from services.consents.use_cases.propagation.overdue import FIRST, After

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
_RETRY_SECONDS = 3600.0
KEPT = timedelta(days=37)
"""How long deliveries are compared: as long as a company's topic keeps decisions; no older ban can arrive."""
_AT_ONCE = 100
_FORGET_EVERY = 1000


class UnknownBreachError(KieltoError):
    """No breach has this id, or it is another company's."""


async def detect_for_ever(context: Context) -> None:
    """Compare reported deliveries with decisions, count open breaches, and delete old reports."""
    for rounds in count():
        while await detect(context):
            pass
        metrics.BREACHES_OPEN.set(await deliveries.open_breaches(context.pool))
        if rounds % _FORGET_EVERY == 0:
            await deliveries.forget(context.pool, KEPT)
        await asyncio.sleep(LOOK_SECONDS)


async def add_reports(conn: Conn, reports: Sequence[Delivery]) -> None:
    """Store reported deliveries; one that is stored already is left as it is."""
    await deliveries.insert(conn, reports)


async def detect(context: Context) -> int:
    """Compare the next deliveries with the decisions in force when they were sent; how many."""
    await deliveries.resolve_subjects(context.pool)
    await deliveries.requeue_affected(context.pool)
    found = await deliveries.due(context.pool, _AT_ONCE)
    for delivery, round_ in found:
        try:
            async with transaction(context.pool) as conn:
                await _detect(conn, context, delivery, round_)
        except (*AWAY, EpochNotOpenError):
            raise
        except Exception as error:  # noqa: BLE001 - one that fails must not keep the others waiting
            what = type(error).__name__
            log.error("delivery.not_compared", delivery=str(delivery.id), error=what)  # noqa: TRY400
            metrics.DELIVERIES_JUDGED.labels("failed").inc()
            await deliveries.retry_later(context.pool, delivery, _RETRY_SECONDS)
    return len(found)


async def _detect(conn: Conn, context: Context, delivery: Delivery, round_: int) -> None:
    assert delivery.customer is not None  # a stranger's delivery is not compared
    loaded = await state.load(conn, [delivery.customer])
    person = next(
        (j for j in evaluate_people(context, loaded) if any(c.id == delivery.customer for c in j.customers)),
        None,
    )
    if person is None or person.unreadable:
        # We do not know them yet, or a newer record cannot be read: what we find then would be final.
        await deliveries.retry_later(conn, delivery, _RETRY_SECONDS)
        return
    named = _named(context, delivery, person.person)
    used = points(person.person, delivery.company, delivery.channel, named)
    known = used[0] if named else None
    sent = SentMessage(delivery.company, delivery.partner, delivery.channel, used)

    def banned(at: datetime) -> frozenset[UUID]:
        said = [d for d in person.decisions if d.received_at <= at]
        return banning(person.person, said, context.rules, sent)

    subscribers = [s for s in context.group.subscribers if s.party in _senders(context, delivery)]
    bound = max((s.stale_seconds for s in subscribers), default=3 * context.group.beat_seconds)
    found, about = classify(banned, delivery.sent_at, delivery.reported_at, timedelta(seconds=bound))
    clearance = None
    if found is BreachFinding.AFTER_BAN:
        allowed, clearance = await _clearance(conn, context, delivery, known)
        if allowed:
            found = BreachFinding.WITHIN_BOUND
    if await deliveries.record_finding(conn, delivery, round_, found):
        metrics.DELIVERIES_JUDGED.labels(found).inc()
        if found is BreachFinding.AFTER_BAN:
            where = await _where(conn, sorted(about), subscribers, delivery.sent_at)
            point = known.id if known else None
            evidence = BreachEvidence(bound, sorted(about), where, clearance, point)
            await deliveries.open_breach(conn, delivery, evidence)


def _senders(context: Context, delivery: Delivery) -> list[Party]:
    """Which parties may have sent it: the company, or the partner."""
    parties = [Party.company(delivery.company)]
    if delivery.partner:
        parties.append(Party.partner(delivery.partner))
    return [party for party in parties if party in context.group.parties]


def _named(context: Context, delivery: Delivery, person: Person) -> frozenset[UUID]:
    """Which of the person's contact points the sender named: copies of one, if people were merged."""
    if delivery.point is None:
        return frozenset()
    every = [p for c in (person.root, *person.members) for p in c.points]
    parties = _senders(context, delivery)
    return frozenset(
        p.id for p in every if delivery.point in {n for to in parties for n in _names(context.keys, to, p)}
    )


def _names(keys: Keys, party: str, point: PointFacts) -> Iterator[str]:
    """What the party calls the contact point, by each of its keys."""
    if point.kind is PointKind.POST:
        yield keys.pairwise(party, point.id)
    elif point.ref is not None:
        try:
            digest = keys.decrypt(point.ref.decode())
        except ValueError:  # not encrypted under our key
            return
        yield from keys.points(party, digest)


async def _clearance(
    conn: Conn, context: Context, delivery: Delivery, used: PointFacts | None
) -> tuple[bool, UUID | None]:
    """Whether a clearance that was valid then allowed it; and the id of the last one about the person and address."""
    party = Party.company(delivery.company)
    if delivery.campaign is None or delivery.customer is None or party not in context.group.parties:
        return False, None
    ref = Ref.of_party(party, context.keys.pairwise(party, delivery.customer))
    address = Ref.point(used.ref.decode()) if used is not None and used.ref is not None else None
    campaign = str(delivery.campaign)
    found = await clearances.at(conn, delivery.company, campaign, delivery.sent_at, [ref], address)
    for_it = [e for e in found if _is_for(e.request, delivery)]
    if not for_it:
        return False, None
    allowed = any(e.reason is ClearanceReason.ALLOWED for e in for_it)
    return allowed, for_it[-1].clearance


def _is_for(request: ClearanceRequest, delivery: Delivery) -> bool:
    """Whether both are the same kind of marketing: clearance for another one excuses nothing."""
    same = (request.channel, request.partner) == (delivery.channel, delivery.partner)
    return same and delivery.purpose in (None, request.purpose)


async def _where(
    conn: Conn, decisions: Sequence[UUID], subscribers: Sequence[SubscriberSystem], sent_at: datetime
) -> list[dict[str, Any]]:
    found = {
        (w.decision, w.subscriber): w.applied_at if w.applied == w.records else None
        for w in await whereabouts(conn, decisions, subscribers, links=True)
    }
    return [
        {
            "decision": str(decision),
            "subscriber": subscriber,
            "applied_at": at.isoformat() if at else None,
            "applied": at is not None and at <= sent_at,
        }
        for (decision, subscriber), at in sorted(found.items())
    ]


async def list_breaches(
    context: Context, company: str | None, state: str | None, after: After, limit: int
) -> list[Breach]:
    """The oldest first, from behind `after`; of one company, or of all."""
    return await deliveries.breaches(context.pool, company, state, after, limit)


async def get_breach(context: Context, company: str | None, ident: UUID) -> Breach:
    """Raises UnknownBreachError."""
    for found in await deliveries.breaches(context.pool, company, None, FIRST, 1, ident):
        return found
    raise UnknownBreachError


async def close_breach(
    context: Context, company: str | None, ident: UUID, state: str, note: str, by: str
) -> Breach:
    """Set the state to explained or closed. Raises UnknownBreachError."""
    await in_transaction(context.pool, lambda conn: deliveries.settle(conn, ident, company, state, note, by))
    return await get_breach(context, company, ident)
