"""Records and marks: what raises a version, what does not, and who waits for whom."""

import asyncio
from uuid import uuid4

import pytest

from kielto.events.envelope import MessageTooLargeError
from kielto.events.records import Permissions
from kielto.service.database import epoch, pool
from kielto.service.outbox import publish
from kielto.service.outbox.publish import RecordChange
from tests.integration.service.support import Bench, key


async def test_a_change_raises_the_version_and_marks_once(service: Bench) -> None:
    k = key()
    assert [await service.publish(k), await service.publish(k, "1"), await service.publish(k, "2")] == [
        "1.1",
        "1.2",
        "1.3",
    ]
    rows = await service.pool.fetch("SELECT lane, family, key FROM marks")
    assert [tuple(row) for row in rows] == [("express", service.family.name, k)] * 3


async def test_the_same_again_raises_nothing(service: Bench) -> None:
    k, decision = key(), uuid4()
    await service.publish(k, "1", restrictions=(decision,))
    marks = await service.marks()
    record = Permissions(version="0.0", subject=k, numbers=("1".rjust(64, "0"),), decision="d" * 64)
    async with pool.transaction(service.pool) as conn:
        changes = [
            RecordChange(
                service.family.name, key(), Permissions(version="0.0", subject=key()), express=False
            ),
            RecordChange(
                service.family.name, k, record, express=True, restrictions=(decision,), decision=uuid4()
            ),
        ]
        versions = await publish.publish(conn, changes)
    assert [str(v) for v in versions] == ["1.1", "1.1"]
    assert await service.marks() == marks + 1


async def test_restrictions_alone_raise_the_version_whatever_their_order(service: Bench) -> None:
    k, one, two = key(), uuid4(), uuid4()
    assert await service.publish(k, restrictions=(one,)) == "1.1"
    assert await service.publish(k, restrictions=(one, two)) == "1.2"
    assert await service.publish(k, restrictions=(two, one)) == "1.2"


async def test_lanes(service: Bench) -> None:
    await service.publish(key(), express=False)
    async with pool.transaction(service.pool) as conn:
        k = key()
        await publish.publish(
            conn,
            [RecordChange("company.a.customers", k, Permissions(version="0.0", subject=k), express=True)],
        )
    lanes = await service.pool.fetch("SELECT lane FROM marks")
    assert [row["lane"] for row in lanes] == ["bulk", "bulk"], "a family with one topic has one lane"


async def test_many_in_any_order_do_not_deadlock(service: Bench) -> None:
    keys = [key(n) for n in range(1, 40)]

    async def write(turn: int) -> None:
        order = keys if turn % 2 else keys[::-1]
        async with pool.transaction(service.pool) as conn:
            await publish.publish(
                conn,
                [
                    RecordChange(
                        service.family.name,
                        k,
                        Permissions(version="0.0", subject=k, numbers=(f"{turn:064x}",)),
                        express=True,
                    )
                    for k in order
                ],
            )

    await asyncio.gather(*(write(turn) for turn in range(1, 9)))
    versions = await service.pool.fetch("SELECT DISTINCT n FROM records")
    assert [row["n"] for row in versions] == [8], "every writer saw the one before it"


async def test_a_record_is_named_once(service: Bench) -> None:
    k = key()
    change = RecordChange(service.family.name, k, Permissions(version="0.0", subject=k), express=True)
    with pytest.raises(ValueError, match="once"):
        async with pool.transaction(service.pool) as conn:
            await publish.publish(conn, [change, change])


async def test_too_large_is_refused_before_anything_is_stored(service: Bench) -> None:
    k = key()
    record = Permissions(version="0.0", subject=k, numbers=tuple(f"{n:064x}" for n in range(4500)))
    with pytest.raises(MessageTooLargeError):
        async with pool.transaction(service.pool) as conn:
            await publish.publish(conn, [RecordChange(service.family.name, k, record, express=True)])
    assert await service.pool.fetchval("SELECT count(*) FROM records") == 0


async def test_nothing_without_an_epoch(service: Bench) -> None:
    await service.pool.execute("DELETE FROM epoch")
    with pytest.raises(epoch.EpochNotOpenError):
        await service.publish(key())


async def test_a_higher_epoch_goes_on_counting(service: Bench) -> None:
    k = key()
    await service.publish(k)
    await service.pool.execute("UPDATE epoch SET epoch = 7")
    assert await service.publish(k, "1") == "7.2"
