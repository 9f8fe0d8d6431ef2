"""When a new epoch begins, and that nothing is committed, relayed or beaten in between."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.local.servers.stack import Stack
from kielto import kafka
from kielto.events.control import Beat, SnapshotComplete
from kielto.events.topics import Lane
from kielto.service.database import epoch
from kielto.service.inbox import transactional
from kielto.service.outbox import backfills
from kielto.service.outbox.heartbeats import everywhere
from kielto.service.outbox.relay import LaneRelay
from kielto.service.process import application, commands
from kielto.service.process.platform import Service
from kielto.service.recovery import claim, new_epoch, topic_scan
from kielto.service.recovery.new_epoch import Epochs, TakeIn
from kielto.service.support import metrics
from tests.integration.service.auditor.auditing import auditing, caught_up, findings, write
from tests.integration.service.support import Bench, bench, key, quarantine_of
from tests.waiting import until

ANOTHER_SERVER = "UPDATE epoch SET started = started - interval '1 hour'"
"""As after a restart of the server."""
ANOTHER_TIMELINE = "UPDATE epoch SET timeline = '00000000'"
"""As after a promotion: the server's timeline is no more the stored one."""


def of(service: Bench, **more: Any) -> Epochs:
    return Epochs(service.bootstrap, service.pool, [service.family], **more)


async def ensure(service: Bench, **more: Any) -> int:
    """As the leader of the express lane does; the epoch then."""
    async with service.pool.acquire() as conn:
        await of(service, **more).ensure(conn)  # type: ignore[arg-type]
    return await epoch.current(service.pool)


def relay(service: Bench, lane: Lane, **more: Any) -> None:
    settings = replace(service.settings(), ensure_epoch=of(service, **more).ensure)
    made = LaneRelay(lane, settings)
    service.relays.append((made, asyncio.create_task(made.run())))


async def beat(service: Bench, number: int, term: int) -> None:
    """Somebody's, on one partition."""
    event = Beat(epoch=number, term=term, n=9, generation=1, at=datetime.now(UTC))
    topic, partition, raw, value, headers = everywhere(service.family, event)[3]
    producer = kafka.producer(service.bootstrap)
    await producer.start()
    await producer.send_and_wait(topic, value, raw, partition=partition, headers=headers)
    await producer.stop()


async def test_a_restart_of_the_server_changes_nothing(service: Bench) -> None:
    assert await service.publish(key()) == "1.1"
    relay(service, Lane.EXPRESS)
    await service.no_marks()
    await service.stop_relays()
    await service.pool.execute(ANOTHER_SERVER)
    assert await service.publish(key()) == "1.1", "decisions are accepted before the look"
    assert not await epoch.checked(service.pool)
    assert await ensure(service) == 1
    assert await epoch.checked(service.pool)


@pytest.mark.parametrize("why", [ANOTHER_TIMELINE, "UPDATE epoch SET system = 7, started = NULL"])
async def test_nothing_is_committed_on_another_timeline_or_server(service: Bench, why: str) -> None:
    k = key()
    await service.publish(k)
    await service.pool.execute(why)
    with pytest.raises(epoch.EpochNotOpenError):
        await service.publish(k, "1")
    with pytest.raises(epoch.EpochNotOpenError):
        await service.publish(key())
    assert await ensure(service) == 2
    assert await service.publish(k, "1") == "2.2"


async def test_rows_are_raised_and_a_backfill_is_asked_for(service: Bench) -> None:
    a, b = key(), key()
    await service.publish(a, "1")
    await service.publish(a, "2")
    await service.publish(b)
    await service.pool.execute(
        "INSERT INTO snapshots (family, generation, epoch) VALUES ($1, 4, 1)", service.family.name
    )
    await service.pool.execute(ANOTHER_TIMELINE)
    assert await ensure(service) == 2
    rows = await service.pool.fetch("SELECT key, epoch, n FROM records")
    assert {tuple(row) for row in rows} == {(a, 2, 2), (b, 2, 1)}
    asked = await service.pool.fetchrow("SELECT max(generation), max(epoch) FROM snapshots")
    assert asked is not None
    assert tuple(asked) == (5, 2)


@pytest.mark.parametrize("ahead", ["record", "unknown", "epoch", "term", "found"])
async def test_own_topics_that_are_ahead_begin_one_though_the_timeline_is_the_same(
    service: Bench, ahead: str
) -> None:
    k = key()
    await service.publish(k)
    match ahead:
        case "record":
            await write(service, Lane.BULK, k, "1.2")
        case "unknown":
            await write(service, Lane.EXPRESS, key(), "1.1")
        case "epoch":
            await beat(service, 7, 1)
        case "term":
            await beat(service, 1, 2)
        case "found":
            await write(service, Lane.BULK, k, "1.2")
            async with auditing(service):
                await caught_up(service)
            assert [kind for kind, _, _ in await findings(service)] == ["ahead"]
    await service.pool.execute(ANOTHER_SERVER)
    assert await ensure(service) == (8 if ahead == "epoch" else 2)
    await service.pool.execute(ANOTHER_SERVER)
    again = await ensure(service)
    assert again == (8 if ahead == "epoch" else 2) or ahead == "found", (
        "what it has raised is not ahead any more"
    )


async def test_only_what_the_auditor_has_not_read_is_looked_at(
    service: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    k = key()
    await service.publish(k)
    relay(service, Lane.EXPRESS)
    await service.no_marks()
    await service.stop_relays()
    async with auditing(service):
        await caught_up(service)
    looked: list[topic_scan.ScannedRecord] = []
    entries = topic_scan.entries

    async def counted(*given: Any, **more: Any) -> Any:
        async for batch in entries(*given, **more):
            looked.extend(batch)
            yield batch

    monkeypatch.setattr(topic_scan, "entries", counted)
    await service.pool.execute(ANOTHER_SERVER)
    assert await ensure(service) == 1
    assert not looked
    await service.pool.execute("DELETE FROM audit_positions")
    await service.pool.execute(ANOTHER_SERVER)
    assert await ensure(service) == 1
    assert k in {entry.key for entry in looked}


async def test_the_auditor_reads_nothing_before_the_look(service: Bench) -> None:
    """Or it would move its positions past what is ahead of the database."""
    k = key()
    await service.publish(k)
    await write(service, Lane.BULK, k, "1.2")
    await service.pool.execute(ANOTHER_SERVER)
    async with auditing(service):
        await asyncio.sleep(2)
        assert await service.pool.fetchval("SELECT count(*) FROM audit_positions") == 0
        assert await ensure(service) == 2
        await caught_up(service)
    assert {kind for kind, _, _ in await findings(service)} <= {"vanished"}


async def test_a_row_never_goes_back_to_an_epoch_that_ended(service: Bench) -> None:
    """Whoever looked before the new one began may write behind it."""
    k = key()
    await service.publish(k)
    await service.pool.execute("UPDATE records SET epoch = 2")
    assert await service.publish(k, "1") == "2.2"


async def test_shown_and_begun_by_command(service: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    async def shown() -> str:
        assert await commands.run(["epoch"], service.pool, quarantine, writing) == 0
        return capsys.readouterr().out

    writing, quarantine = Service(families=(service.family,)), quarantine_of(service)
    assert (await shown()).strip().endswith("open")
    await service.pool.execute(ANOTHER_SERVER)
    assert "not yet compared with our own topics" in await shown()
    await service.pool.execute("UPDATE epoch SET timeline = '00000000', system = 7")
    assert "another server" in await shown()
    for lane in Lane:
        relay(service, lane)
    await asyncio.wait_for(epoch.until_checked(service.pool), 15)
    begin = ["epoch", "begin", "--why", "a dump was restored"]
    assert await asyncio.wait_for(commands.run(begin, service.pool, quarantine, writing), 20) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert [line.split(";")[0] for line in said] == ["epoch 2\tended", "epoch 3\topen"]
    assert "epoch 3" in (text := await shown())
    assert "a dump was restored" in text
    await application.observe(service.pool)
    assert metrics.EPOCH._value.get() == 3
    assert metrics.EPOCH_OPEN._value.get() == 1
    assert await commands.run(["epoch", "begin", "--now"], service.pool, quarantine, writing) == 2


async def test_nothing_is_relayed_or_beaten_before_the_look(
    service: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, go_on = asyncio.Event(), asyncio.Event()

    async def slow(self: Epochs, conn: object, row: object) -> None:
        looking.set()
        await go_on.wait()

    monkeypatch.setattr(Epochs, "_ahead", slow)
    await service.pool.execute(ANOTHER_SERVER)
    await service.publish(key())
    await service.publish(key(), express=False)
    for lane in Lane:
        relay(service, lane)
    await asyncio.wait_for(looking.wait(), 15)
    await asyncio.sleep(1)
    assert await service.marks() == 2
    assert not await service.log(Lane.BULK)
    assert not await service.log(Lane.EXPRESS)
    go_on.set()
    await service.no_marks()
    await until(lambda: _beats(service), "no beat")


async def _beats(service: Bench) -> bool:
    return bool(await service.beats())


async def test_the_auditor_takes_no_announcement_of_ours_for_a_strangers(
    service: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the announcement in the topics and the commit it reads an epoch that is not the database's."""
    announce = claim.announce

    async def slow(*arguments: Any, **more: Any) -> None:
        await announce(*arguments, **more)
        await asyncio.sleep(1.5)

    monkeypatch.setattr(claim, "announce", slow)
    await service.publish(key())
    for lane in Lane:
        relay(service, lane)
    async with auditing(service):
        await caught_up(service)
        for number in (2, 3):
            assert await epoch.end(service.pool, "by command") == number - 1
            await asyncio.wait_for(epoch.until_checked(service.pool), 15)
            await until(lambda: _beats(service), "no beat")
        await caught_up(service)
    assert await findings(service) == []
    await beat(service, 9, 1)
    async with auditing(service):
        await until(lambda: _ahead(service), "a stranger's epoch is not found")


async def _ahead(service: Bench) -> bool:
    return [kind for kind, _, _ in await findings(service)] == ["ahead"]


async def test_by_command_while_the_relays_run(service: Bench) -> None:
    keys = [key() for _ in range(20)]
    for k in keys:
        await service.publish(k)
    for lane in Lane:
        relay(service, lane)
    await service.no_marks()
    assert await epoch.end(service.pool, "by command") == 1
    await asyncio.wait_for(epoch.until_checked(service.pool), 15)
    assert await epoch.current(service.pool) == 2

    async def complete() -> bool:
        return any(isinstance(e.event, SnapshotComplete) for e in await service.log(Lane.BULK))

    await until(complete, "the backfill is not complete")
    bulk = [e for e in await service.log(Lane.BULK) if e.key in keys]
    assert {e.key for e in bulk} == set(keys)
    assert {e.version for e in bulk} == {"2.1"}
    beats = [b for _, _, b in await service.beats()]
    announced = next(i for i, b in enumerate(beats) if b.epoch == 2)
    assert beats[announced].n == 0
    assert max(b.generation for b in beats if b.epoch == 2) == 1


STEPS = ("end", "announce", "request", "_inputs_taken", "_take_in", "raise")


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_it_begins_again(
    service: Bench, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    k, lost = key(), key()
    await service.publish(k)
    await write(service, Lane.EXPRESS, k, "1.5")
    await write(service, Lane.EXPRESS, lost, "1.1")
    taken: dict[str, str] = {}

    async def take(kept: Any, number: int) -> None:
        taken.update(kept)

    take_in = TakeIn(service.family, lambda read: read.event.version, take)

    async def killed(*_: object, **__: object) -> None:
        raise TimeoutError(step)

    await service.pool.execute(ANOTHER_TIMELINE)
    with monkeypatch.context() as patch:
        if step in ("end", "announce"):
            patch.setattr(epoch if step == "end" else claim, step, killed)
        elif step == "request":
            patch.setattr(backfills, "request", killed)
        elif step == "raise":
            patch.setattr(
                new_epoch, "_RAISE", "SELECT 1/0 FROM (SELECT $1::text, $2::text, $3::integer, $4::integer) x"
            )
        else:
            patch.setattr(Epochs, step, killed)
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it is
            await ensure(service, take_in=take_in)
    with pytest.raises(epoch.EpochNotOpenError):
        await service.publish(key())
    number = 3 if step == "request" else 2  # announced and not committed: never used again
    assert await ensure(service, take_in=take_in) == number
    assert taken == {k: "1.5", lost: "1.1"}
    assert await service.publish(k, "1") == f"{number}.2"


async def test_a_restart_before_it_is_open_begins_another(service: Bench) -> None:
    """The same backup may be restored twice, even one that was taken then."""
    await service.pool.execute("UPDATE epoch SET open = false")
    await service.pool.execute(ANOTHER_SERVER)
    with pytest.raises(epoch.EpochNotOpenError):
        await service.publish(key())
    assert await ensure(service) == 2


async def test_it_waits_for_the_consumers_and_only_they_may_commit(service: Bench) -> None:
    """Every input is taken in to where it ends now, in the new epoch, before anything else is accepted."""
    other = await _filled(service)
    await service.pool.execute(ANOTHER_TIMELINE)
    opening = asyncio.create_task(ensure(service, inputs=[other]))

    async def announced() -> bool:
        return await epoch.latest(service.pool) in [(2, n) for n in range(1, 9)]

    await until(announced, "no epoch was begun")
    await asyncio.sleep(0.5)
    with pytest.raises(epoch.EpochNotOpenError):
        await service.publish(key())
    ids = await _ids(service, other)
    async with service.pool.acquire() as conn, conn.transaction():
        for partition in range(6):
            moved = await conn.fetchval(transactional._MOVE, other, partition, ids, 1, None)
            assert moved == "on"
        assert await epoch.current(conn) == 2
    assert await asyncio.wait_for(opening, 10) == 2


async def _filled(service: Bench) -> str:
    """A topic of others with one message in each partition."""
    topic = service.family.bulk
    producer = kafka.producer(service.bootstrap)
    await producer.start()
    for partition in range(6):
        await producer.send_and_wait(topic, b"{}", b"!other", partition=partition)
    await producer.stop()
    return topic


async def _ids(service: Bench, topic: str) -> Any:
    consumer = kafka.consumer(service.bootstrap)
    await consumer.start()
    try:
        return (await kafka.topic_ids(consumer, [topic]))[topic]
    finally:
        await kafka.close(consumer)


async def test_an_emptied_database_takes_in_what_its_predecessor_said(
    stack: Stack, database: Callable[[str], str]
) -> None:
    """Claimed above what stands in the log, and not open before that was read."""
    async with bench(database("plumbing"), stack.kafka.bootstrap, epoch=None) as new:
        k = key()
        await write(new, Lane.EXPRESS, k, "3.4")
        assert await claim.claim(new.dsn, new.bootstrap, [new.family]) == 4
        with pytest.raises(epoch.EpochNotOpenError):
            await new.publish(k)
        taken: dict[str, str] = {}

        async def take(kept: Any, number: int) -> None:
            taken.update(kept)

        assert await ensure(new, take_in=TakeIn(new.family, lambda read: read.event.version, take)) == 4
        assert taken == {k: "3.4"}
        assert await new.publish(k) == "4.1"
