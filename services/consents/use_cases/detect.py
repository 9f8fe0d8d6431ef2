"""Deliveries held against what was permitted when they were sent; a case for each that should not have been."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import structlog

from kielto.group import Subscriber
from kielto.service.epoch import NotClaimed
from kielto.service.postgres import AWAY, Conn, Pool, transaction
from kielto.subscriber.questions import Reason
from services.consents import metrics
from services.consents.model.evaluate import evaluate
from services.consents.model.sent import Found, as_sent, judge, restricting
from services.consents.store import clearances, deliveries, proof, state
from services.consents.store.deliveries import Delivery, Evidence
from services.consents.use_cases.context import Context, id_ref
from services.consents.use_cases.judge import judge as judge_people

log = structlog.get_logger(__name__)

LOOK_SECONDS = 2.0
AGAIN_SECONDS = 3600.0
KEPT = timedelta(days=37)
"""As long as a company's decisions are kept in its topic: no older ban can still come in."""
_AT_ONCE = 100
_FORGET_EVERY = 1000


async def detect_for_ever(pool: Pool, context: Context) -> None:
    rounds = 0
    while True:
        try:
            while await detect(pool, context):
                pass
            metrics.send_after_ban_open.set(await deliveries.open_cases(pool))
            if rounds % _FORGET_EVERY == 0:
                await deliveries.forget(pool, KEPT)
            rounds += 1
        except AWAY:
            pass  # what is kept waits
        await asyncio.sleep(LOOK_SECONDS)


async def detect(pool: Pool, context: Context) -> int:
    """How many were looked at."""
    await deliveries.hear(pool)
    found = await deliveries.to_judge(pool, _AT_ONCE)
    for delivery, round_ in found:
        try:
            async with transaction(pool) as conn:
                await _detect(conn, context, delivery, round_)
        except (*AWAY, NotClaimed):
            raise
        except Exception as error:  # noqa: BLE001 - one that cannot be judged must not keep the others from it
            log.error("a delivery is not judged", delivery=str(delivery.id), error=type(error).__name__)  # noqa: TRY400
            metrics.deliveries_judged.labels("failed").inc()
            await deliveries.later(pool, delivery, AGAIN_SECONDS)
    return len(found)


async def _detect(conn: Conn, context: Context, delivery: Delivery, round_: int) -> None:
    loaded = await state.load(conn, [delivery.customer])
    person = next(
        (j for j in judge_people(context, loaded) if any(c.id == delivery.customer for c in j.customers)),
        None,
    )
    if person is None or not loaded.unreadable.isdisjoint(person.person.keys):
        # We do not know them yet, or a newer record of them cannot be read: what we find then would be final.
        await deliveries.later(conn, delivery, AGAIN_SECONDS)
        return
    sent_to = as_sent(person.person, delivery.company, delivery.channel, delivery.point)

    def banned(at: datetime) -> frozenset[UUID]:
        return restricting(
            person.decisions,
            lambda said: evaluate(sent_to, said, context.facts, context.rules),
            at,
            delivery.company,
            delivery.partner,
            delivery.channel,
            delivery.purpose,
        )

    subscribers = _subscribers(context, delivery)
    bound = max((s.stale_seconds for s in subscribers), default=3 * context.group.beat_seconds)
    found, about = judge(banned, delivery.sent_at, delivery.reported_at, timedelta(seconds=bound))
    clearance = None
    if found is Found.AFTER_BAN:
        allowed, clearance = await _clearance(conn, context, delivery)
        if allowed:
            found = Found.WITHIN_BOUND
    if await deliveries.judged(conn, delivery, round_, found):
        metrics.deliveries_judged.labels(found).inc()
        if found is Found.AFTER_BAN:
            where = await _where(conn, sorted(about), subscribers, delivery.sent_at)
            await deliveries.open_case(conn, delivery, Evidence(bound, sorted(about), where, clearance))


def _subscribers(context: Context, delivery: Delivery) -> list[Subscriber]:
    """Who may have sent it: the company's systems, or the partner's."""
    parties = {f"company.{delivery.company}", f"partner.{delivery.partner}"}
    return [s for s in context.group.subscribers if s.party in parties]


async def _clearance(conn: Conn, context: Context, delivery: Delivery) -> tuple[bool, UUID | None]:
    """Whether one that was valid when it was sent allowed it; and the last of those that spoke of the person."""
    party = f"company.{delivery.company}"
    if delivery.campaign is None or party not in context.group.parties:
        return False, None
    ref = id_ref(party, context.keys.pairwise(party, delivery.customer))
    found = await clearances.at(conn, delivery.company, str(delivery.campaign), delivery.sent_at, [ref])
    for_it = [e for e in found if _is_for(e.clearance, delivery)]
    if not for_it:
        return False, None
    allowed = any(e.reason is Reason.ALLOWED for e in for_it)
    return allowed, for_it[-1].clearance["id"]


def _is_for(clearance: asyncpg.Record, delivery: Delivery) -> bool:
    """Of the same kind of marketing: a yes to another one excuses nothing."""
    same = (clearance["channel"], clearance["partner"]) == (delivery.channel, delivery.partner)
    return same and delivery.purpose in (None, clearance["purpose"])


async def _where(
    conn: Conn, decisions: Sequence[UUID], subscribers: Sequence[Subscriber], sent_at: datetime
) -> list[dict[str, Any]]:
    found = {
        (w.decision, w.subscriber): w.applied_at if w.applied == w.records else None
        for w in await proof.whereabouts(conn, decisions, subscribers)
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
