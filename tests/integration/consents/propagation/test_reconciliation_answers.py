"""Answers of subscribers as they come from outside."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.events.control import BUCKETS
from kielto.events.envelope import Read
from kielto.events.messages import Position, StoreDigest, StoreListing
from kielto.events.topics import PARTITIONS, Lane, permissions_of
from kielto.service.database.pool import Pool, transaction
from kielto.service.inbox.handlers import Meta, PermanentError
from services.consents import projections
from services.consents.commands import reconcile as reconcile_command
from services.consents.consumers.subscriptions import AcknowledgementsConsumer
from services.consents.store.propagation import differences
from services.consents.store.propagation import reconciliation as store
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.apply_facts import take_in_customers
from services.consents.use_cases.propagation import instances, reconcile
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.waiting import until

KAUPPA = permissions_of("company.kauppa")
ROW = "5e" * 32
NO_ENDS: Any = None
"""No acknowledgement is among the answers."""


async def test_one_that_cannot_be_judged_keeps_no_other_waiting(pool: Pool, context: Context) -> None:
    """A position of more than 64 bits, from a company's own topic."""
    by_name, instance = {s.id: s for s in context.group.subscribers}, uuid4()
    for name in ("kauppa-crm", "sahko-crm"):
        await heard(pool, name, instance)
    async with transaction(pool) as conn:
        for name, offset in (("kauppa-crm", 2**63), ("sahko-crm", 0)):
            subscriber = by_name[name]
            answer = _answer(name, await reconcile.ask(conn, subscriber), offset, instance)
            await reconcile.keep_answer(conn, context, subscriber.party, answer, datetime.now(UTC))
    assert [await reconcile.compare_next(context) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("taken", "about"),
    [
        (True, {}),
        (True, {"after": "5e" * 11 + "5d", "upto": ROW[:24]}),
        (False, {"bucket": 0x5E5 >> 2 ^ 1}),
        (False, {"bucket": 0x5E5 >> 2 ^ 1, "upto": "f" * 24}),
        (False, {"after": ROW[:24]}),
        (False, {"upto": "5e" * 11 + "5d"}),
    ],
    ids=str,
)
async def test_a_listing_with_rows_outside_its_range_is_refused(
    pool: Pool, context: Context, taken: bool, about: dict[str, Any]
) -> None:
    said = _listing(uuid4(), None, **({"bucket": 0x5E5 >> 2, "rows": (f"{ROW} 1.1 {'0' * 16}",)} | about))
    handler, read = AcknowledgementsConsumer(context, "company.kauppa", NO_ENDS), Read("kauppa-crm", said)
    meta = Meta("company.kauppa.acks.v1", uuid4(), 0, 0, 0)
    async with transaction(pool) as conn:
        if taken:
            await handler.handle(conn, read, meta)
        else:
            with pytest.raises(PermanentError, match="rows: must lie in the bucket"):
                await handler.handle(conn, read, meta)


async def test_the_command_does_not_take_what_was_not_compared_for_equal(
    pool: Pool, context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A store that has read nothing yet answers, and leaves everything out."""
    monkeypatch.setattr(instances, "WAIT_SECONDS", 1.0)
    monkeypatch.setattr(instances, "WAIT_SECONDS_EACH", 0.0)
    monkeypatch.setattr(instances, "_SETTLE_SECONDS", 0.2)
    store_id = uuid4()

    async def answer() -> None:
        answered: set[UUID] = set()
        while True:
            for row in await pool.fetch("SELECT ask FROM reconciliations"):
                if row["ask"] not in answered:
                    answered.add(row["ask"])
                    said = StoreDigest(
                        subscriber="kauppa-crm",
                        instance=store_id,
                        generation=store_id,
                        ask=row["ask"],
                        content=False,
                        positions=(),
                        digests="0" * 16 * BUCKETS,
                    )
                    async with transaction(pool) as conn:
                        await reconcile.keep_answer(conn, context, "company.kauppa", said, datetime.now(UTC))
                    await reconcile.compare_next(context)
            await asyncio.sleep(0.05)

    await heard(pool, "kauppa-crm", store_id)
    answering = asyncio.create_task(answer())
    try:
        assert await reconcile_command.command(context, ["kauppa-crm", "--wait"]) == 1
    finally:
        answering.cancel()
    assert capsys.readouterr().out.splitlines()[-1] == "NOT COMPARED WHOLLY kauppa-crm"


async def test_no_listing_erases_whom_we_know(pool: Pool, context: Context, world: ConsentsWorld) -> None:
    """One that was kept before such were refused, with the key of a customer outside its range."""
    who = Someone()
    await world.know(who)
    key = world.key("company.kauppa", who)
    bucket = int(key[:3], 16) >> 2 ^ 1
    stranger = f"{bucket << 2:03x}{ROW[3:]}"
    await _kept(context, bucket, key, stranger)
    assert await reconcile.compare_next(context)
    assert await _statuses(pool) == {key: "live", stranger: "erased"}
    assert [d.key for d in await differences.listed(pool, ["kauppa-crm"], 10)] == [stranger]


async def test_invented_people_are_erased_up_to_a_bound_and_named_beyond(
    pool: Pool, context: Context, world: ConsentsWorld
) -> None:
    """A store that tells of people whom nobody ever was given does not fill the topic for ever."""
    who = Someone()
    await world.know(who)
    keys = [f"{1 << 2:03x}{n:021x}{0:040x}" for n in range(reconcile.INVENTED + 30)]
    await _kept(context, 1, *keys)
    assert await reconcile.compare_next(context)
    statuses = await _statuses(pool)
    assert list(statuses.values()).count("erased") == reconcile.INVENTED
    assert len(await differences.listed(pool, ["kauppa-crm"], 1000)) == len(keys)


async def test_no_listing_erases_who_becomes_known_meanwhile(
    pool: Pool, context: Context, world: ConsentsWorld
) -> None:
    who = Someone()
    key = world.key("company.kauppa", who)
    await _kept(context, int(key[:3], 16) >> 2, key)
    async with transaction(pool) as conn:
        rows = projections.newest([world.record(who)], world.keys)
        await take_in_customers(conn, context, rows)
        judging = asyncio.create_task(reconcile.compare_next(context))
        await until(lambda: _waits(pool))
    assert await judging
    assert await _statuses(pool) == {key: "live"}


async def _waits(pool: Pool) -> bool:
    """Somebody for a lock."""
    waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await pool.fetchval(f"SELECT EXISTS ({waiting})"))


async def _kept(context: Context, bucket: int, *keys: str) -> None:
    """A listing with these keys."""
    crm = next(s for s in context.group.subscribers if s.id == "kauppa-crm")
    rows = tuple(f"{key} 1.1 {'0' * 16}" for key in sorted(keys))
    instance = uuid4()
    await heard(context.pool, crm.id, instance)
    async with transaction(context.pool) as conn:
        said = _listing(await reconcile.ask(conn, crm, [bucket]), instance, bucket=bucket, rows=rows)
        assert await store.keep(conn, said, "", datetime.now(UTC), timedelta(hours=1), [crm.id], 10)


async def _statuses(pool: Pool) -> dict[str, str]:
    rows = await pool.fetch("SELECT key, status FROM records WHERE family = 'company.kauppa'")
    return {row["key"]: row["status"] for row in rows}


def _listing(ask: UUID, instance: UUID | None = None, **about: Any) -> StoreListing:
    """Of a store that has read everything."""
    return StoreListing(
        subscriber="kauppa-crm",
        instance=instance or uuid4(),
        generation=uuid4(),
        ask=ask,
        content=True,
        positions=tuple(
            Position(topic=KAUPPA.topic(lane), topic_id=uuid4(), partition=partition, offset=1 << 40)
            for lane in Lane
            for partition in range(PARTITIONS)
        ),
        **about,
    )


def _answer(subscriber: str, ask: UUID, offset: int, instance: UUID) -> StoreDigest:
    position = Position(topic="x", topic_id=uuid4(), partition=0, offset=offset)
    return StoreDigest(
        subscriber=subscriber,
        instance=instance,
        generation=uuid4(),
        ask=ask,
        content=False,
        positions=(position,),
        digests="0" * 16 * BUCKETS,
    )


async def heard(pool: Pool, subscriber: str, instance: UUID, seconds_ago: float = 0.0) -> None:
    """An acknowledgement of the instance was appended then."""
    await pool.execute(
        "INSERT INTO instances (subscriber, instance, named, generation, seen_at, since)"
        " SELECT $1, $2, $2, $2, t, t FROM (SELECT clock_timestamp() - make_interval(secs => $3) AS t) x",
        subscriber,
        instance,
        seconds_ago,
    )


async def test_the_command_waits_for_nobody_who_is_gone(
    pool: Pool, context: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    """The only instance of one subscriber, and one of those of another; a third one was never seen."""
    live, gone, only = uuid4(), uuid4(), uuid4()
    await heard(pool, "kauppa-crm", live)
    await heard(pool, "kauppa-crm", gone, 4000)
    await heard(pool, "sahko-crm", only, 90)
    began = time.monotonic()
    waiting = asyncio.create_task(reconcile_command.command(context, ["--all", "--wait"]))
    try:
        await until(lambda: pool.fetchval("SELECT EXISTS (SELECT FROM reconciliations)"))
        ask = await pool.fetchval("SELECT ask FROM reconciliations WHERE subscriber = 'kauppa-crm'")
        family = "company.kauppa"
        digests = "0" * 16 * BUCKETS  # nobody is known, in no store
        positions = tuple(
            Position(topic=permissions_of(family).topic(lane), topic_id=uuid4(), partition=p, offset=0)
            for lane in Lane
            for p in range(PARTITIONS)
        )
        said = StoreDigest(
            subscriber="kauppa-crm", instance=live, generation=live, ask=ask, content=False,
            positions=positions, digests=digests,
        )  # fmt: skip
        async with transaction(pool) as conn:
            await reconcile.keep_answer(conn, context, family, said, datetime.now(UTC))
        assert await reconcile.compare_next(context)
        assert await waiting == 0
    finally:
        waiting.cancel()
    assert time.monotonic() - began < 10
    lines = capsys.readouterr().out.splitlines()
    skipped = {tuple(line.split("\t")[:2]) for line in lines if line.startswith("SKIPPED")}
    assert {("SKIPPED kauppa-crm", str(gone)), ("SKIPPED sahko-crm", str(only))} <= skipped
    assert ("SKIPPED kauppa-mail", "-") in skipped
    asked = await pool.fetch("SELECT subscriber FROM reconciliations")
    assert {row["subscriber"] for row in asked} == {"kauppa-crm"}


async def test_one_that_lives_and_is_silent_is_named(
    pool: Pool, context: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(instances, "WAIT_SECONDS", 0.5)
    monkeypatch.setattr(instances, "WAIT_SECONDS_EACH", 0.0)
    silent = uuid4()
    await heard(pool, "kauppa-crm", silent)
    assert await reconcile_command.command(context, ["kauppa-crm", "--wait"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"SILENT kauppa-crm {silent}"
