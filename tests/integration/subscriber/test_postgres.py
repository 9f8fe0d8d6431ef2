"""The store in PostgreSQL: goes on where its last commit was, whatever was killed, restored or in the way."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from asyncpg.transaction import Transaction

from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.subscriber import NotReadyError, PostgresStore, Reason, StoreError, Subscriber
from kielto.subscriber.columnar.record_batch import RecordBlock
from kielto.subscriber.replica.follower import Follower
from kielto.subscriber.sync.session import Session
from tests.faults import hooks
from tests.integration.subscriber.conftest import Follow
from tests.integration.subscriber.customers import NAMES, by_id, customer, open_with
from tests.integration.subscriber.relay import HandDrivenRelay
from tests.unit.subscriber.logs import hexes, message
from tests.waiting import until

pytestmark = pytest.mark.timeout(120)
Database = Callable[[str], str]


@pytest.fixture
def dsn(database: Database) -> str:
    return database("store")


async def fetch(dsn: str, sql: str, *values: Any) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(sql, *values))
    finally:
        await connection.close()


async def held(dsn: str) -> dict[str, tuple[Version, bool]]:
    rows = await fetch(dsn, "SELECT id, epoch, n, unreadable FROM kielto_subscriber.records")
    return {row["id"]: (Version(row["epoch"], row["n"]), row["unreadable"]) for row in rows}


def image(kielto: Subscriber) -> dict[str, Any]:
    """What the gate sees of each known name: version, unreadable, swept, hashes."""
    session = kielto._loop.session
    assert session is not None
    found = {}
    for name in [*NAMES, "late"]:
        row = session.follower.image.find(hexes(name))
        if row is not None:
            i = session.follower.image
            found[name] = i.version(row), i.unreadable(row), session.follower.swept(row), i.hashes(row)
    return found


async def change(relay: HandDrivenRelay) -> None:
    """Bans, liftings, an unreadable record and a sweep."""
    await relay.put(Lane.EXPRESS, *(customer(n, "1.2", allowed=False) for n in NAMES[:50]))
    await relay.put(Lane.BULK, *(customer(n, "1.3") for n in NAMES[:20]))
    spoiled = message(customer("c60", "1.2"))
    await (await relay.raw(Lane.BULK, spoiled.key, b"{", spoiled.headers))


async def caught_up(relay: HandDrivenRelay, kielto: Subscriber) -> None:
    await relay.put(Lane.BULK, customer("late", f"1.{random.randint(10, 10**9)}"))
    ends = {(place.topic, place.partition): end for place, end in (await relay.ends()).items()}

    def reached() -> bool:
        session = kielto._loop.session
        if session is None or kielto.shut() is not None:
            return False
        done = session.committed.positions
        return all(
            done.get((lane, p), 0) >= end
            for (topic, p), end in ends.items()
            for lane in Lane
            if topic == relay.family.topic(lane)
        )

    await until(reached, seconds=30)


async def test_a_restart_goes_on_where_it_was(
    relay: HandDrivenRelay, follow: Follow, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with follow(store=PostgresStore(dsn)) as kielto:
        await open_with(kielto, relay, *NAMES)
        await change(relay)
        await caught_up(relay, kielto)
        before = image(kielto)
        assert kielto._loop.session is not None
        positions = kielto._loop.session.committed.positions
    read: list[tuple[Lane, int, int]] = []
    apply = Session.apply

    async def watch(
        self: Session, lane: Lane, topic: Any, batch: Any, block: RecordBlock | None = None
    ) -> bool:
        read.extend((lane, partition, offset) for partition, offset, _ in batch)
        if block is not None:
            places = zip(block.partitions.tolist(), block.offsets.tolist(), strict=True)
            read.extend((lane, partition, offset) for partition, offset in places)
        return await apply(self, lane, topic, batch, block)

    monkeypatch.setattr(Session, "apply", watch)
    async with follow(store=PostgresStore(dsn)) as kielto:
        await until(lambda: kielto.count() == len(NAMES) + 1)
        assert image(kielto) == before
        assert kielto.may(by_id("c99")).reason in (Reason.STARTING, Reason.SNAPSHOT_INCOMPLETE)
        async with asyncio.timeout(20):
            await kielto.ready()
        assert kielto.may(by_id("c99"))
        assert not kielto.may(by_id("c30"))
        assert kielto.may(by_id("c60")).detail == "the record cannot be read"
        assert read
        assert all(offset >= positions[lane, partition] for lane, partition, offset in read)


async def test_a_follower_in_memory_holds_the_same(relay: HandDrivenRelay, follow: Follow, dsn: str) -> None:
    async with follow(store=PostgresStore(dsn)) as lasting, follow(spool=None) as passing:
        await open_with(lasting, relay, *NAMES)
        await change(relay)
        await caught_up(relay, lasting)
        await caught_up(relay, passing)
        await caught_up(relay, lasting)
        assert image(lasting) == image(passing)
        rows = await held(dsn)
        assert {name: rows[hexes(name)] for name in image(lasting)} == {
            name: (version, bool(unreadable)) for name, (version, unreadable, *_) in image(lasting).items()
        }


async def spawn(relay: HandDrivenRelay, dsn: str, spool: Path) -> asyncio.subprocess.Process:
    arguments = ["-m", "tests.integration.subscriber.child", relay.bootstrap, relay.party, dsn, str(spool)]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


async def killed_after(process: asyncio.subprocess.Process, seconds: float) -> None:
    await asyncio.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    await process.wait()


async def test_killed_in_the_bootstrap_and_in_the_stream(
    relay: HandDrivenRelay, follow: Follow, dsn: str, tmp_path: Path
) -> None:
    many = [f"m{i}" for i in range(24_000)]
    await relay.backfill(*map(customer, NAMES), *map(customer, many))
    spool = tmp_path / "spool.sqlite"
    process = await spawn(relay, dsn, spool)
    try:
        async with asyncio.timeout(30):
            while (part := await count(dsn)) < len(many) // 6:  # noqa: ASYNC110 - a process of its own
                await asyncio.sleep(0.01)
    finally:
        await killed_after(process, 0)
    assert part < len(many)
    stream = asyncio.create_task(_stream(relay))
    for pause in (1.2, 2.0, 1.6):
        await killed_after(await spawn(relay, dsn, spool), pause)
    await stream
    async with follow(store=PostgresStore(dsn)) as lasting:
        await caught_up(relay, lasting)
        rows = await held(dsn)
        assert len(rows) == len(NAMES) + len(many) + 1
        async with follow(spool=None) as passing:
            await caught_up(relay, passing)
            await caught_up(relay, lasting)
            assert image(lasting) == image(passing)
        assert (await held(dsn))[hexes("c7")] == (Version(1, 400), False)
        assert len({row["generation"] for row in await fetch(dsn, _STORE)}) == 1


async def count(dsn: str) -> int:
    try:
        return int((await fetch(dsn, "SELECT count(*) FROM kielto_subscriber.records"))[0][0])
    except asyncpg.UndefinedTableError:
        return 0


async def _stream(relay: HandDrivenRelay) -> None:
    for n in range(2, 401):
        lane = Lane.EXPRESS if n % 2 else Lane.BULK
        await relay.put(lane, *(customer(f"c{i}", f"1.{n}", allowed=n % 2 == 0) for i in range(n % 7, 60, 7)))
        await asyncio.sleep(0.01)
    await relay.put(Lane.BULK, customer("c7", "1.400"))


_STORE = "SELECT * FROM kielto_subscriber.store"


async def test_a_restored_backup_is_another_generation_and_catches_up(
    relay: HandDrivenRelay, follow: Follow, dsn: str
) -> None:
    async with follow(store=PostgresStore(dsn)) as kielto:
        await open_with(kielto, relay, *NAMES)
        await asyncio.sleep(0.3)
    (backup,) = await fetch(dsn, _STORE)
    records = await fetch(dsn, "SELECT * FROM kielto_subscriber.records")
    async with follow(store=PostgresStore(dsn)) as kielto:
        async with asyncio.timeout(20):
            await kielto.ready()
        (goes_on,) = await fetch(dsn, _STORE)
        assert goes_on["generation"] == backup["generation"]
        await change(relay)
        await caught_up(relay, kielto)
        await asyncio.sleep(0.3)
        after = image(kielto)
    connection = await asyncpg.connect(dsn)
    await connection.execute("DELETE FROM kielto_subscriber.records; DELETE FROM kielto_subscriber.store")
    await connection.copy_records_to_table("records", records=records, schema_name="kielto_subscriber")
    await connection.copy_records_to_table("store", records=[backup], schema_name="kielto_subscriber")
    await connection.close()
    async with follow(store=PostgresStore(dsn)) as kielto:
        await caught_up(relay, kielto)
        now = image(kielto)
        assert {n: v for n, v in now.items() if n != "late"} == {
            n: v for n, v in after.items() if n != "late"
        }
        (restored,) = await fetch(dsn, _STORE)
        assert restored["generation"] != backup["generation"]
    acks = await relay.acknowledged()
    lowest: dict[Any, int] = {}
    for ack in acks:  # under one generation, positions never go back
        for p in ack.positions:
            assert p.offset >= lowest.get((ack.generation, p.topic_id, p.partition), 0)
            lowest[ack.generation, p.topic_id, p.partition] = p.offset


async def test_without_a_spool_each_start_is_another_generation(
    relay: HandDrivenRelay, follow: Follow, dsn: str
) -> None:
    for _ in range(2):
        async with follow(store=PostgresStore(dsn), spool=None) as kielto:
            await open_with(kielto, relay, "a")
            await asyncio.sleep(0.3)
    assert len({ack.generation for ack in await relay.acknowledged()}) == 2


async def test_a_connection_that_was_cut_unnoticed_is_made_again(
    relay: HandDrivenRelay, follow: Follow, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """asyncpg calls it an error of its own."""
    async with follow(store=PostgresStore(dsn)) as kielto:
        await open_with(kielto, relay, *NAMES)
        session, write = kielto._loop.session, PostgresStore._write
        errors = [asyncpg.InternalClientError("not connected")]

        async def cut(store: PostgresStore, *what: Any) -> None:
            if errors:
                raise errors.pop()
            await write(store, *what)

        monkeypatch.setattr(PostgresStore, "_write", cut)
        await change(relay)
        await caught_up(relay, kielto)
        assert not errors
        assert kielto._loop.session is session


async def test_a_lost_connection_is_made_again(relay: HandDrivenRelay, follow: Follow, dsn: str) -> None:
    async with follow(store=PostgresStore(dsn)) as kielto:
        await open_with(kielto, relay, *NAMES)
        session = kielto._loop.session
        for _ in range(3):
            await fetch(
                dsn,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'kielto-subscriber' AND datname = current_database()",
            )
            await asyncio.sleep(0.3)
        await change(relay)
        await caught_up(relay, kielto)
        assert kielto._loop.session is session  # nothing had to be loaded again
        assert not kielto.may(by_id("c30"))


async def test_a_lost_answer_is_not_a_lost_commit(
    relay: HandDrivenRelay, follow: Follow, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, answers = PostgresStore._write, 0

    async def unanswered(self: PostgresStore, *rest: Any) -> None:
        nonlocal answers
        await write(self, *rest)
        answers += 1
        if answers % 3 == 0:
            raise ConnectionResetError

    monkeypatch.setattr(PostgresStore, "_write", unanswered)
    async with follow(store=PostgresStore(dsn)) as kielto:
        await open_with(kielto, relay, *NAMES)
        session = kielto._loop.session
        await change(relay)
        await caught_up(relay, kielto)
        assert kielto._loop.session is session
        assert answers > 5


async def test_a_store_changed_by_someone_else_is_loaded_again(
    relay: HandDrivenRelay, follow: Follow, dsn: str
) -> None:
    async with follow(store=PostgresStore(dsn)) as kielto:
        await open_with(kielto, relay, *NAMES)
        session = kielto._loop.session
        await fetch(dsn, "UPDATE kielto_subscriber.store SET commits = commits + 1000")
        await until(lambda: kielto._loop.session is not session)
        async with asyncio.timeout(20):
            await kielto.ready()
        assert kielto.may(by_id("c1"))


async def test_a_second_instance_waits_for_the_first(
    relay: HandDrivenRelay, follow: Follow, dsn: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    second = follow(store=PostgresStore(dsn), spool=tmp_path / "second", instance=uuid4())
    async with follow(store=PostgresStore(dsn)) as first:
        await open_with(first, relay, "a")
        async with second:
            await until(lambda: "another process has the store" in caplog.text)
            with pytest.raises(
                NotReadyError, match=r"^store: another process has the store kielto_subscriber"
            ):
                await second.ready(0.2)
            assert second.may(by_id("a")).reason is Reason.STARTING
            assert first.may(by_id("a"))
            await first.__aexit__(None, None, None)
            async with asyncio.timeout(20):
                await second.ready()
            assert second.may(by_id("a"))


async def test_the_store_of_another_party_is_refused(
    relay: HandDrivenRelay, follow: Follow, dsn: str
) -> None:
    async with follow(store=PostgresStore(dsn)) as kielto:
        await open_with(kielto, relay, "a")
    async with follow(store=PostgresStore(dsn), party="company.other") as kielto:
        with pytest.raises(StoreError, match="is the store of"):
            await kielto.ready()
        assert kielto.may(by_id("a")).reason is Reason.STARTING


async def test_a_wrong_password_is_said(dsn: str, follow: Follow) -> None:
    wrong = dsn.replace(dsn.split("@")[0], "postgresql://nobody:wrong") if "@" in dsn else f"{dsn}x"
    async with follow(store=PostgresStore(wrong)) as kielto:
        with pytest.raises(StoreError):
            async with asyncio.timeout(20):
                await kielto.ready()


def test_a_schema_is_a_plain_name() -> None:
    with pytest.raises(StoreError, match="schema"):
        PostgresStore("", schema='a"; DROP')


class KilledError(BaseException):
    """Instead of the end of the process."""


@pytest.mark.parametrize(("point", "kept"), [("before-commit", 2), ("after-commit", 3)])
async def test_the_fault_harness_ends_a_follower_at_its_commits(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str, kept: int
) -> None:
    """Else no follower is killed between its store and its acknowledgement, and the verdict says that all held."""

    def kill(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr(Transaction, "__aexit__", Transaction.__aexit__)  # both are put back in the end
    monkeypatch.setattr(PostgresStore, "_write", PostgresStore._write)
    monkeypatch.setattr(os, "kill", kill)
    store = PostgresStore(dsn)
    _, state = await store.open("company.kauppa")
    follower = Follower(3.0, durable=True, state=state)
    orders = tmp_path / "orders.json"
    hooks.at_points(hooks.Orders(orders))
    orders.write_text(json.dumps({"point": point, "nth": 3}))
    for _ in range(2):
        await store.commit(follower, follower.take())
    with pytest.raises(KilledError):
        await store.commit(follower, follower.take())
    await store.close()
    (row,) = await fetch(dsn, "SELECT commits FROM kielto_subscriber.store")
    assert row["commits"] == kept
