"""Stores are held against what was published: what differs is found, named, repaired and closed; nothing else is."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from kielto.events.control import BUCKETS
from kielto.events.messages import Position, StoreDigest
from kielto.events.topics import PARTITIONS, Lane
from kielto.service.database.pool import transaction
from kielto.subscriber import MemoryStore, PostgresStore, Subscriber
from services.consents.commands.reconcile import command
from services.consents.model.reconcile import compare_digests
from services.consents.store.propagation import differences
from services.consents.store.propagation import reconciliation as store
from services.consents.use_cases.propagation import reconcile
from tests.integration.consents.test_service import KAUPPA, ServicePlay, consents, play
from tests.integration.consents.world import Someone
from tests.waiting import until

__all__ = ["consents", "play"]
pytestmark = pytest.mark.timeout(110)
EXTRA = "5e" * 32


@pytest.fixture
def store_dsn(database: Callable[[str], str]) -> str:
    return database("store")


def follow(play: ServicePlay, tmp_path: Path, of: Any) -> Subscriber:
    keys = json.loads((play.services.keys_folder / "company.kauppa.keys.json").read_text())["point_keys"]
    return Subscriber(
        subscriber="kauppa-crm",
        party="company.kauppa",
        bootstrap=play.services.stack.kafka.bootstrap,
        point_keys={int(generation): bytes.fromhex(key) for generation, key in keys.items()},
        store=of,
        spool=tmp_path / "spool.sqlite",
    )


@pytest.fixture
async def people(play: ServicePlay) -> list[Someone]:
    found = [Someone(("kauppa",)) for _ in range(12)]
    await play.introduce(*found)
    for who in found[:4]:
        await play.ban(who)
    return found


@pytest.fixture
async def table(store_dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(store_dsn)
    yield connection
    await connection.close()


async def heard_of(play: ServicePlay, kielto: Subscriber) -> None:
    there = "SELECT EXISTS (SELECT FROM instances WHERE instance = $1 AND since < clock_timestamp())"
    await until(lambda: play.world.pool.fetchval(there, kielto._instance))


async def ask(play: ServicePlay) -> None:
    """And wait until nothing of it is left to be judged."""
    crm = next(s for s in play.world.context.group.subscribers if s.id == "kauppa-crm")
    async with transaction(play.world.pool) as conn:
        asked = await reconcile.ask(conn, crm)

    async def answered() -> bool:
        waiting = "SELECT NOT EXISTS (SELECT FROM reconciliation_answers WHERE message IS NOT NULL)"
        there = "SELECT EXISTS (SELECT FROM reconciliation_answers WHERE ask = $1)"
        return all([await play.world.pool.fetchval(there, asked), await play.world.pool.fetchval(waiting)])

    await until(answered)


async def found(play: ServicePlay) -> dict[str, str]:
    rows = await differences.listed(play.world.pool, ["kauppa-crm"], 100)
    return {row.key: row.kind for row in rows}


async def test_what_was_changed_by_hand_is_found_named_repaired_and_closed(
    play: ServicePlay, people: list[Someone], store_dsn: str, table: Any, tmp_path: Path
) -> None:
    async with follow(play, tmp_path, PostgresStore(store_dsn)) as kielto:
        await heard_of(play, kielto)

        async def settled() -> bool:
            await ask(play)
            last = (await store.last(play.world.pool, ["kauppa-crm"]))[-1]
            return (last.left_out, last.differing) == (0, 0)

        await until(settled)
        assert await found(play) == {}

        allowed, older, missing = (play.world.key("company.kauppa", who) for who in people[:3])
        permit = await table.fetchval(
            "SELECT record FROM kielto_subscriber.records WHERE id = $1",
            play.world.key("company.kauppa", people[8]),
        )
        held = await table.fetchval("SELECT record FROM kielto_subscriber.records WHERE id = $1", allowed)
        forged = json.loads(permit) | {
            name: json.loads(held)[name] for name in ("version", "subject") if name in json.loads(held)
        }
        await table.execute(
            "UPDATE kielto_subscriber.records SET record = $2 WHERE id = $1",
            allowed,
            json.dumps(forged).encode(),
        )
        await table.execute("UPDATE kielto_subscriber.records SET n = n - 1 WHERE id = $1", older)
        await table.execute("DELETE FROM kielto_subscriber.records WHERE id = $1", missing)
        await table.execute(
            "INSERT INTO kielto_subscriber.records VALUES ($1, 0, 1, 5, false, -1, 0, $2)", EXTRA, permit
        )
        await ask(play)
        kinds = {allowed: "content", older: "older", missing: "missing", EXTRA: "extra"}
        await until(lambda: _same(play, kinds))

        told = (await play.call("GET", "/reconciliation"))["differences"]
        assert {d["key"]: d["kind"] for d in told} == kinds
        assert all(d["repaired_at"] for d in told)

        assert await command(play.world.context, ["kauppa-crm", "--wait"]) == 0
        assert await found(play) == {}
        rows = await table.fetch("SELECT id, epoch, n, record FROM kielto_subscriber.records")
        bodies = {row["id"]: json.loads(row["record"]) for row in rows}
        for who in people[:3]:
            points = bodies[play.world.key("company.kauppa", who)]["points"]
            assert not any(point["allow"] for point in points)
        assert bodies[EXTRA]["status"] == "erased"
        why = await play.world.pool.fetch("SELECT DISTINCT why_closed FROM differences")
        assert [row["why_closed"] for row in why] == ["agrees"]


async def _same(play: ServicePlay, kinds: dict[str, str]) -> bool:
    return await found(play) == kinds


async def test_a_store_in_memory_agrees(play: ServicePlay, people: list[Someone], tmp_path: Path) -> None:
    async with follow(play, tmp_path, MemoryStore()) as kielto:
        instance = kielto._instance
        await heard_of(play, kielto)

        async def agrees() -> bool:
            await ask(play)
            rows = await store.last(play.world.pool, ["kauppa-crm"])
            own = [row for row in rows if row.instance == instance]
            return bool(own) and (own[-1].left_out, own[-1].differing) == (0, 0)

        await until(agrees)


async def judge(
    play: ServicePlay, offset: int, monkeypatch: pytest.MonkeyPatch | None = None
) -> tuple[int, int, int]:
    """A store that holds nothing says so, at this offset everywhere."""
    positions = [
        Position(
            topic=KAUPPA.topic(lane),
            topic_id=await play.others.topic_id(KAUPPA.topic(lane)),
            partition=partition,
            offset=offset,
        )
        for lane in Lane
        for partition in range(PARTITIONS)
    ]
    said = StoreDigest(
        subscriber="kauppa-campaigns",
        instance=uuid4(),
        generation=uuid4(),
        ask=uuid4(),
        content=True,
        positions=tuple(positions),
        digests="0" * 16 * BUCKETS,
    )
    answer = store.StoreAnswer(0, said.ask, said.subscriber, said.instance, "digest", "")
    subscriber = next(s for s in play.world.context.group.subscribers if s.id == said.subscriber)
    async with play.world.pool.acquire() as conn:
        undone = conn.transaction()
        await undone.start()
        try:
            return await reconcile._digest(conn, subscriber, answer, said)
        finally:
            await undone.rollback()


async def test_a_store_in_mid_catch_up_raises_nothing(
    play: ServicePlay, people: list[Someone], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def all_published() -> bool:
        return not await play.world.pool.fetchval(
            "SELECT count(*) FROM marks WHERE family = 'company.kauppa'"
        )

    await until(all_published)
    compared, left_out, differing = await judge(play, 0)
    assert left_out > 0
    assert differing == 0
    assert compared + left_out == BUCKETS

    _, _, emptied = await judge(play, 1 << 40)
    assert emptied == left_out, "one that claims to have read it all, and holds nothing"

    plain = compare_digests
    monkeypatch.setattr(reconcile, "compare_digests", lambda ours, theirs, moving: plain(ours, theirs, ()))
    assert (await judge(play, 0))[2] > 0, "planted: buckets in flight are compared"


async def test_an_answer_that_nobody_asked_for_is_passed_over(play: ServicePlay) -> None:
    message = StoreDigest(
        subscriber="kauppa-crm",
        instance=uuid4(),
        generation=uuid4(),
        ask=UUID(int=7),
        content=False,
        positions=(),
        digests="0" * 16 * BUCKETS,
    )
    before = await play.world.pool.fetchval("SELECT count(*) FROM reconciliation_answers")
    await play.others.write("company.kauppa.acks.v1", "company.kauppa", ("kauppa-crm", message))
    await play.acknowledge()
    await asyncio.sleep(1)
    assert await play.world.pool.fetchval("SELECT count(*) FROM reconciliation_answers") == before
    assert await play.quarantined() == []
