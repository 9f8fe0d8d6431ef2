"""Ask subscribers what their stores hold, compare it with what was published, record what differs, and repair it.

First digests are asked for, then all rows of the buckets that differ: what differs in both answers is a difference.
Each answer is compared in one transaction together with its repair; after a kill it is compared again.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import structlog

from kielto.errors import KieltoError
from kielto.events.control import BUCKETS, Reconcile
from kielto.events.messages import StoreDigest, StoreListing
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, Lane, permissions_of
from kielto.events.words import Status
from kielto.group import SubscriberSystem
from kielto.service.database import epoch
from kielto.service.database.advisory_locks import Lock, try_for
from kielto.service.database.pool import Conn, transaction
from kielto.service.outbox import publish
from kielto.service.outbox.publish import RecordChange
from services.consents import metrics
from services.consents.model.reconcile import (
    KEY,
    SHORT,
    Difference,
    HeldRecord,
    Range,
    above,
    compare_digests,
    compare_rows,
)
from services.consents.model.ref import Ref
from services.consents.store.permissions import locks
from services.consents.store.propagation import differences, own_records
from services.consents.store.propagation import reconciliation as store
from services.consents.store.propagation.instances import life_seconds
from services.consents.use_cases.context import Context, UnknownSubscriberError

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
FOLLOW_UP_SECONDS = 60.0
"""While a difference stands, a subscriber is asked again so often."""
ROWS = 20_000
"""About so many are asked for at once; buckets behind them come with the next question."""
ASKED_AT_ONCE = 64
DAYS = 90


class OutsideRangeError(KieltoError):
    """A listing has rows outside the range of keys that it states."""


async def ask(conn: Conn, subscriber: SubscriberSystem, buckets: Sequence[int] = ()) -> UUID:
    """Queue the question on the party's restrictions topic."""
    question = Reconcile(subscriber=subscriber.id, ask=uuid4(), buckets=tuple(buckets))
    await store.ask(conn, question.ask, subscriber.id, buckets)
    topic = permissions_of(subscriber.party).topic(Lane.EXPRESS)
    await publish.report(conn, topic, question.key(), question, source="consents")
    return question.ask


INVENTED = 100
"""Ids that nobody was ever given: so many of a subscriber are published as erased in an hour."""


async def keep_answer(
    conn: Conn,
    context: Context,
    party: str,
    message: StoreDigest | StoreListing,
    appended_at: datetime,
) -> None:
    """Store an answer, to be compared soon. Raises UnknownSubscriberError, OutsideRangeError."""
    own = {s.id: s for s in context.group.subscribers_of(party)}
    if message.subscriber not in own:
        raise UnknownSubscriberError
    if isinstance(message, StoreListing):
        about = Range.of(message.bucket, message.after, message.upto)
        if not all(about.holds(row.partition(" ")[0]) for row in message.rows):
            raise OutsideRangeError
    part = "" if isinstance(message, StoreDigest) else f"{message.bucket}/{message.after}"
    life = timedelta(seconds=life_seconds(own[message.subscriber]))
    most = context.limits.reconciliation_answers
    if not await store.keep(conn, message, part, appended_at, life, list(own), most):
        metrics.RECONCILIATION_DROPPED.labels(party).inc()


async def reconcile_for_ever(context: Context) -> None:
    """Compare answers, repair what differs, and ask each subscriber when it is due."""
    while True:
        while await compare_next(context):
            pass
        await ask_due(context, context.settings.reconcile_seconds)
        await asyncio.sleep(LOOK_SECONDS)


async def ask_due(context: Context, seconds: float) -> None:
    by_name = {s.id: s for s in context.group.subscribers}
    async with transaction(context.pool) as conn:
        if not await try_for(conn, Lock.RECONCILIATION, in_transaction=True):
            return
        await differences.gone(conn)
        for name in await store.due(conn, list(by_name), seconds, FOLLOW_UP_SECONDS):
            await ask(conn, by_name[name])
            await store.forget(conn, DAYS)
            await differences.forget(conn, DAYS)
    for name, count in (await differences.standing(context.pool, list(by_name))).items():
        metrics.RECONCILIATION_DIFFERENCES.labels(name).set(count)


async def compare_next(context: Context) -> bool:
    """Compare the next answer; False when there is none."""
    async with transaction(context.pool) as conn:
        answer = await store.waiting(conn)
        if answer is None:
            return False
        subscriber = next((s for s in context.group.subscribers if s.id == answer.subscriber), None)
        if subscriber is None:
            found = (0, 0, 0)  # it has left the group meanwhile
        else:
            found = await _compare(conn, context, subscriber, answer)
        await store.record_findings(conn, answer, found)
        return True


async def _compare(
    conn: Conn, context: Context, subscriber: SubscriberSystem, answer: store.StoreAnswer
) -> tuple[int, int, int]:
    """An answer that no database can hold (a position of more than 64 bits) counts as empty and blocks no other."""
    try:
        async with conn.transaction():
            if answer.kind == "digest":
                return await _digest(
                    conn, subscriber, answer, StoreDigest.model_validate_json(answer.message)
                )
            listing = StoreListing.model_validate_json(answer.message)
            return await _listing(conn, context, subscriber, answer, listing)
    except asyncpg.DataError:
        log.warning("reconciliation.answer_invalid", subscriber=answer.subscriber, ask=str(answer.ask))
        return 0, 0, 0


async def _digest(
    conn: Conn, subscriber: SubscriberSystem, answer: store.StoreAnswer, said: StoreDigest
) -> tuple[int, int, int]:
    ours = await own_records.ours(conn, subscriber.party, said.content, said.positions)
    theirs = [int(said.digests[at : at + 16], 16) for at in range(0, len(said.digests), 16)]
    moving = range(BUCKETS) if _incomplete(subscriber, said) else ours.moving
    found = compare_digests(ours.digests, theirs, frozenset(moving))
    await differences.agreed_buckets(conn, answer, found.agree)
    asked: list[int] = []
    left = ROWS
    for bucket in found.differ[:ASKED_AT_ONCE]:
        left -= ours.counts.get(bucket, 0)
        if left < 0 and asked:
            break
        asked.append(bucket)
    if asked:
        await ask(conn, subscriber, asked)
    return len(found.agree) + len(found.differ), len(found.left_out), len(found.differ)


async def _listing(
    conn: Conn, context: Context, subscriber: SubscriberSystem, answer: store.StoreAnswer, said: StoreListing
) -> tuple[int, int, int]:
    about = Range.of(said.bucket, said.after, said.upto)
    if _incomplete(subscriber, said):
        return 0, len(said.rows), 0
    ours, moving = await own_records.range_of_ours(
        conn, subscriber.party, said.content, said.positions, about
    )
    theirs = [HeldRecord(*row.split(" ")) for row in said.rows]
    found = compare_rows(ours, theirs, moving)
    moving |= await _known(conn, subscriber.party, found)
    found = [d for d in found if d.key[:SHORT] not in moving]
    await repair(conn, context, subscriber.party, answer, found)
    but = [d.key[:SHORT] for d in found] + sorted(moving)
    await differences.agreed(conn, answer, about, but)
    return len(ours), len(moving), len(found)


async def _known(conn: Conn, party: str, found: Sequence[Difference]) -> set[str]:
    """First digits of keys that seem extra but have a record: it came after ours were read, or the listing left it out.
    Whatever a listing says, it erases nobody whom we know; who is about to become known waits for our commit.
    """
    extra = [d.key for d in found if d.ours is None and len(d.key) == KEY]
    if not extra:
        return set()
    await locks.for_facts(conn, (), refs=[Ref.of_party(party, key) for key in extra])
    return {key[:SHORT] for key in await own_records.known(conn, party, extra)}


def _incomplete(subscriber: SubscriberSystem, said: StoreDigest | StoreListing) -> bool:
    """Whether the store has read nothing yet of some partition of the two topics."""
    family = permissions_of(subscriber.party)
    named = {(position.topic, position.partition) for position in said.positions}
    return not named >= {(family.topic(lane), partition) for lane in Lane for partition in range(PARTITIONS)}


async def repair(
    conn: Conn, context: Context, family: str, answer: store.StoreAnswer, found: Sequence[Difference]
) -> None:
    """Record the differences, and publish each record with a version that is news to the store: on bulk where it
    forbids nothing, otherwise on the express lane. A key that nobody has is published as erased, so that it denies. Of
    keys that the party was never given, at most `INVENTED` an hour are published, on bulk; more are only recorded,
    since invented keys would fill the topic.
    """
    now, invented = await epoch.current(conn), await differences.erased_lately(conn, answer.subscriber)
    numbers: list[int | None] = []
    made_up = {d.key for d in found if d.ours is None and context.keys.from_pairwise(family, d.key) is None}
    for difference in found:
        invented += difference.key in made_up
        beyond = difference.key in made_up and invented > INVENTED
        numbers.append(None if beyond else _number(difference, now))
    repairable = [(d, number) for d, number in zip(found, numbers, strict=True) if number is not None]
    erased = [d.key for d, _ in repairable if d.ours is None]
    gone = {key: Permissions(subject=key, version="0.0", status=Status.ERASED) for key in erased}
    changes = [RecordChange(family, key, record, express=key not in made_up) for key, record in gone.items()]
    await publish.put(conn, changes)
    bulk = made_up | await own_records.permitting(conn, family, [d.key for d, _ in repairable])
    await publish.renew(conn, family, [(d.key, number) for d, number in repairable], bulk=bulk)
    await differences.note(conn, answer, found, [number is not None for number in numbers])


def _number(difference: Difference, now: int) -> int | None:
    if difference.ours is None and len(difference.key) < KEY:
        return None  # a store in memory tells no more of a key
    return above(difference, now)
