"""Of subscribers' answers: which are kept, how many, whose turn it is, and how their repairs travel."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.service.database.pool import Pool, transaction
from kielto.service.support.limits import Limits
from services.consents.store.propagation import reconciliation as store
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation import reconcile
from tests.integration.consents.propagation.test_reconciliation_answers import _answer, _kept, _listing, heard
from tests.integration.consents.world import ConsentsWorld, Someone


async def asked(context: Context, name: str = "kauppa-crm", buckets: tuple[int, ...] = ()) -> UUID:
    subscriber = next(s for s in context.group.subscribers if s.id == name)
    async with transaction(context.pool) as conn:
        return await reconcile.ask(conn, subscriber, buckets)


async def say(context: Context, said: Any, **at: Any) -> None:
    party = next(s.party for s in context.group.subscribers if s.id == said.subscriber)
    async with transaction(context.pool) as conn:
        await reconcile.keep_answer(conn, context, party, said, datetime.now(UTC) + timedelta(**at))


async def kept(pool: Pool) -> list[str]:
    rows = await pool.fetch(
        "SELECT subscriber FROM reconciliation_answers WHERE message IS NOT NULL ORDER BY id"
    )
    return [row["subscriber"] for row in rows]


async def test_a_question_has_one_answer_of_each_instance(pool: Pool, context: Context) -> None:
    one, other = uuid4(), uuid4()
    for instance in (one, other):
        await heard(pool, "kauppa-crm", instance)
    ask = await asked(context)
    for instance in (one, one, other, one):
        await say(context, _answer("kauppa-crm", ask, 0, instance))
    assert len(await kept(pool)) == 2
    assert await reconcile.compare_next(context)
    await say(context, _answer("kauppa-crm", ask, 1, one))
    assert len(await kept(pool)) == 1, "nor once it was judged"


@pytest.mark.parametrize(
    ("buckets", "bucket", "n"), [((), None, 1), ((5,), 5, 1), ((5,), None, 0), ((5,), 6, 0), ((), 5, 0)]
)
async def test_an_answer_is_to_what_was_asked(
    pool: Pool, context: Context, buckets: tuple[int, ...], bucket: int | None, n: int
) -> None:
    instance = uuid4()
    await heard(pool, "kauppa-crm", instance)
    ask = await asked(context, buckets=buckets)
    digest = _answer("kauppa-crm", ask, 0, instance)
    await say(context, digest if bucket is None else _listing(ask, instance, bucket=bucket, rows=()))
    assert len(await kept(pool)) == n


@pytest.mark.parametrize(("seconds_ago", "n"), [(0, 1), (5, 1), (100_000, 0), (None, 0)])
async def test_only_an_instance_that_lived_when_it_was_asked_answers(
    pool: Pool, context: Context, seconds_ago: float | None, n: int
) -> None:
    instance = uuid4()
    if seconds_ago is not None:
        await heard(pool, "kauppa-crm", instance, seconds_ago)
    ask = await asked(context)
    if seconds_ago is None:
        await heard(pool, "kauppa-crm", instance)  # it came after the question
    await say(context, _answer("kauppa-crm", ask, 0, instance))
    assert len(await kept(pool)) == n


async def test_a_party_has_so_many_answers_an_hour_and_takes_none_of_anothers(
    pool: Pool, context: Context
) -> None:
    instance = uuid4()
    context = replace(context, limits=Limits(reconciliation_answers=2))
    names = ("kauppa-crm", "kauppa-mail", "sahko-crm")
    for name in names:
        await heard(pool, name, instance)
    for name in (*names, "kauppa-crm", "kauppa-mail"):
        await say(context, _answer(name, await asked(context, name), 0, instance))
    assert await kept(pool) == ["kauppa-crm", "kauppa-mail", "sahko-crm"]
    later = _answer("kauppa-crm", await asked(context), 0, instance)
    await say(context, later, hours=1, minutes=1)
    assert len(await kept(pool)) == 4


async def test_subscribers_take_turns(pool: Pool, context: Context) -> None:
    """Many answers of one do not keep another's waiting."""
    instance = uuid4()
    for name in ("kauppa-crm", "sahko-crm"):
        await heard(pool, name, instance)
    for name in ("kauppa-crm",) * 4 + ("sahko-crm",) * 2:
        await say(context, _answer(name, await asked(context, name), 0, instance))
    for _ in range(4):
        assert await reconcile.compare_next(context)
    assert await kept(pool) == ["kauppa-crm"] * 2
    assert [await reconcile.compare_next(context) for _ in range(3)] == [True, True, False]


async def test_two_processes_judge_two_answers(pool: Pool, context: Context) -> None:
    """One that is being judged holds up nobody's, not its own subscriber's either."""
    instance = uuid4()
    await heard(pool, "kauppa-crm", instance)
    for _ in range(2):
        await say(context, _answer("kauppa-crm", await asked(context), 0, instance))
    async with transaction(pool) as one, transaction(pool) as two:
        first, second = await store.waiting(one), await store.waiting(two)
    assert first is not None
    assert second is not None
    assert first.id != second.id


async def test_repairs_go_on_bulk_unless_the_record_denies(
    pool: Pool, context: Context, world: ConsentsWorld
) -> None:
    """What the store lacks, told of a bucket of each; and keys that it has alone: one of ours, one made up."""
    free, banned, lost = Someone(), Someone(), Someone()
    await world.know(free)
    await world.know(banned)
    await world.decide(world.by_id(banned))
    made_up = "5e" * 32
    keys = {world.key("company.kauppa", who): who for who in (free, banned)}
    alone = (world.key("company.kauppa", lost), made_up)
    await pool.execute(_ALLOW_ALL, world.key("company.kauppa", free))
    await pool.execute("DELETE FROM marks")
    for key in (*keys, *alone):
        await _kept(context, int(key[:3], 16) >> 2, *(key,) * (key in alone))
    while await reconcile.compare_next(context):
        pass
    rows = await pool.fetch("SELECT DISTINCT key, lane FROM marks WHERE family = 'company.kauppa'")
    lanes = {row["key"]: row["lane"] for row in rows}
    assert len(rows) == len(lanes) == 4
    of = [lanes[world.key("company.kauppa", who)] for who in (free, banned, lost)]
    assert of == ["bulk", "express", "express"]
    assert lanes[made_up] == "bulk"


_ALLOW_ALL = """
UPDATE records SET body = replace(body::text, '"allow":[]', '"allow":[{"purpose":"own_marketing"}]')::json
WHERE key = $1"""
