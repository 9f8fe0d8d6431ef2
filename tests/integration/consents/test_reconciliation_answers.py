"""Answers of subscribers as they come from outside."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from kielto.events.control import BUCKETS
from kielto.events.messages import Position, StoreDigest
from kielto.service.postgres import Pool, transaction
from services.consents.use_cases import reconcile
from services.consents.use_cases.context import Context


async def test_one_that_cannot_be_judged_keeps_no_other_waiting(pool: Pool, context: Context) -> None:
    """A position of more than 64 bits, from a company's own topic."""
    by_name = {s.id: s for s in context.group.subscribers}
    async with transaction(pool) as conn:
        for name, offset in (("kauppa-crm", 2**63), ("sahko-crm", 0)):
            subscriber = by_name[name]
            answer = _answer(name, await reconcile.ask(conn, subscriber), offset)
            await reconcile.keep(conn, context, subscriber.party, answer, datetime.now(UTC))
    assert [await reconcile.judge_one(pool, context) for _ in range(3)] == [True, True, False]


def _answer(subscriber: str, ask: UUID, offset: int) -> StoreDigest:
    position = Position(topic="x", topic_id=uuid4(), partition=0, offset=offset)
    return StoreDigest(
        subscriber=subscriber,
        instance=uuid4(),
        generation=uuid4(),
        ask=ask,
        content=False,
        positions=(position,),
        digests="0" * 16 * BUCKETS,
    )
