"""Backfills: everything is named again, above the noted offsets, before `!snapshot` says so."""

import pytest

from kielto.events.control import SnapshotComplete
from kielto.events.topics import PARTITIONS, Lane
from kielto.service.database.pool import Conn
from kielto.service.outbox import backfills, bulk_lane
from tests.integration.service.support import Bench, TopicEntry, key
from tests.waiting import until


async def _finished(service: Bench, generation: int) -> bool:
    return bool(
        await service.pool.fetchval(
            "SELECT finished_at IS NOT NULL FROM snapshots WHERE generation = $1", generation
        )
    )


def _ends(entries: list[TopicEntry], generation: int) -> dict[int, tuple[int, SnapshotComplete]]:
    """By partition: offset and content of this generation's first `!snapshot`."""
    found: dict[int, tuple[int, SnapshotComplete]] = {}
    for entry in entries:
        if isinstance(entry.event, SnapshotComplete) and entry.event.generation == generation:
            found.setdefault(entry.partition, (entry.offset, entry.event))
    return found


async def test_a_backfill_names_every_record_between_its_begin_and_its_end(
    service: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfills, "_CHUNK", 7)
    monkeypatch.setattr(bulk_lane, "LIMIT", 3)  # marks are left when all have been made
    keys = [key(n) for n in range(1, 51)]
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    for k in keys:
        await service.publish(k, express=k < keys[25])
    await service.no_marks()
    await backfills.request_first(service.pool, [service.family])
    await until(lambda: _finished(service, 1), "generation 1 is not finished")
    entries = await service.log(Lane.BULK)
    ends = _ends(entries, 1)
    assert set(ends) == set(range(PARTITIONS))
    named = {
        e.key
        for e in entries
        if not e.key.startswith("!") and ends[e.partition][1].begin_bulk <= e.offset < ends[e.partition][0]
    }
    assert named == set(keys)
    assert {event.count for _, event in ends.values()} == {50}
    written = await service.log(Lane.EXPRESS)
    for partition, (_, event) in ends.items():
        records = [e.offset for e in written if e.partition == partition and e.key in keys]
        assert all(offset < event.begin_restrictions for offset in records)


async def test_a_backfill_goes_on_after_a_crash_at_each_step(
    service: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step fails once before and once after its work; in the end all is named, and nothing ends too
    early.
    """
    monkeypatch.setattr(backfills, "_CHUNK", 10)
    keys = [key(n) for n in range(1, 31)]
    for k in keys:
        await service.publish(k, express=False)
    failures: set[tuple[str, str]] = set()

    def fails(name: str) -> None:
        original = getattr(backfills.Snapshots, name)

        async def step(self: backfills.Snapshots, *arguments: object) -> object:
            if (name, "before") not in failures:
                failures.add((name, "before"))
                raise OSError
            result = await original(self, *arguments)
            if (name, "after") not in failures:
                failures.add((name, "after"))
                raise OSError
            return result

        monkeypatch.setattr(backfills.Snapshots, name, step)

    for name in ("_end_offsets", "_finish", "advance"):
        fails(name)
    await backfills.request_first(service.pool, [service.family])
    service.relay(Lane.BULK)
    await until(lambda: _finished(service, 1), "not finished", 30)
    assert len(failures) == 6
    entries = await service.log(Lane.BULK)
    ends = _ends(entries, 1)
    named = {e.key for e in entries if e.key in keys and e.offset < ends[e.partition][0]}
    assert named == set(keys)


async def test_only_the_newest_generation_is_completed(service: Bench) -> None:
    async with service.pool.acquire() as conn:
        first, second = await _two(conn, service)
    service.relay(Lane.BULK)
    await until(lambda: _finished(service, second), "not finished")
    assert not await _finished(service, first)
    assert {e.event.generation for e in await service.log(Lane.BULK)} == {second}


async def _two(conn: Conn, service: Bench) -> tuple[int, int]:
    return (
        await backfills.request(conn, service.family.name),
        await backfills.request(conn, service.family.name),
    )
