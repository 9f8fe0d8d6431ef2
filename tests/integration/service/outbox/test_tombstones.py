"""An erasure that everybody has, or had time for, leaves its bulk topic; nobody and nothing minds."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from kielto.events.envelope import Tombstone
from kielto.events.records import Permissions
from kielto.events.topics import Lane
from kielto.events.words import Status
from kielto.service.database import pool
from kielto.service.database.pool import Conn
from kielto.service.outbox import publish, tombstones
from kielto.service.outbox.tombstones import ErasedRecord
from tests.integration.service.auditor.auditing import auditing, caught_up, findings
from tests.integration.service.support import Bench, key
from tests.waiting import until


async def erased(service: Bench) -> str:
    """A record that was live and is erased, published on both topics; its key."""
    k = key()
    await service.publish(k, "1", express=False)
    await service.no_marks()
    record = Permissions(version="0.0", subject=k, status=Status.ERASED)
    async with pool.transaction(service.pool) as conn:
        await publish.publish(conn, [publish.RecordChange(service.family.name, k, record, express=True)])
    return k


async def tombstoned(service: Bench) -> list[str]:
    return [e.key for e in await service.log(Lane.BULK) if isinstance(e.event, Tombstone)]


async def test_after_all_have_acknowledged_or_the_deadline(service: Bench) -> None:
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    has, has_not, live = await erased(service), await erased(service), key()
    await service.publish(live, "1")
    await service.no_marks()
    asked: list[ErasedRecord] = []

    async def acknowledged(conn: Conn, waiting: Sequence[ErasedRecord]) -> set[tuple[str, str]]:
        asked.extend(waiting)
        return {(service.family.name, has)}

    now, deadlines = datetime.now(UTC), {service.family: 3600.0}
    async with auditing(service):
        assert await tombstones.write(service.pool, deadlines, now, acknowledged) == 1
        assert {e.key for e in asked} == {has, has_not}
        express = {(e.key, e.partition, e.offset) for e in await service.log()}
        assert {(e.key, e.partition, e.offset) for e in asked} <= express
        assert await tombstones.write(service.pool, deadlines, now, acknowledged) == 0
        await until(lambda: _have_tombstones(service, [has]), "no tombstone")
        late = now + timedelta(seconds=3700)
        assert await tombstones.write(service.pool, deadlines, late) == 1
        await until(lambda: _have_tombstones(service, [has, has_not]), "no tombstone after the deadline")
        await caught_up(service)
        await asyncio.sleep(3)  # the auditor's walk goes round
    assert await findings(service) == []
    assert [e.event.status for e in await service.log() if e.key == has] == [Status.ERASED]


async def _have_tombstones(service: Bench, keys: list[str]) -> bool:
    return sorted(await tombstoned(service)) == sorted(keys)


async def test_not_before_it_was_published(service: Bench) -> None:
    service.relay(Lane.BULK)
    k = key()
    await service.publish(k, "1", express=False)
    await service.no_marks()
    record = Permissions(version="0.0", subject=k, status=Status.ERASED)
    async with pool.transaction(service.pool) as conn:
        await publish.publish(conn, [publish.RecordChange(service.family.name, k, record, express=True)])
    late = datetime.now(UTC) + timedelta(days=1)
    assert await tombstones.write(service.pool, {service.family: 0.0}, late) == 0  # no express relay runs
    service.relay(Lane.EXPRESS)
    await service.no_marks()
    assert await tombstones.write(service.pool, {service.family: 0.0}, late) == 1
