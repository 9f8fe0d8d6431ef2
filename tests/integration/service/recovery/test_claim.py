"""Claiming an epoch: above every one that was ever used, acknowledged in the log before anything is
committed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from deploy.local.servers.stack import Stack
from kielto import kafka
from kielto.events import envelope
from kielto.events.control import Beat
from kielto.events.records import Permissions
from kielto.service.database import epoch
from kielto.service.outbox.heartbeats import everywhere
from kielto.service.recovery import claim
from tests.integration.service.support import Bench, bench, key


@pytest.fixture
async def new(stack: Stack, database: Callable[[str], str]) -> AsyncIterator[Bench]:
    """Without an epoch."""
    async with bench(database("plumbing"), stack.kafka.bootstrap, epoch=None) as made:
        yield made


async def _claim(service: Bench) -> int:
    return await claim.claim(service.dsn, service.bootstrap, [service.family])


async def test_the_first_epoch_is_announced_in_every_partition(new: Bench) -> None:
    assert await _claim(new) == 1
    beats = await new.beats()
    assert sorted(partition for partition, _, _ in beats) == list(range(6))
    assert all((beat.epoch, beat.term, beat.n) == (1, 1, 0) for _, _, beat in beats)
    assert await _claim(new) == 1, "once"
    assert len(await new.beats()) == 6


async def test_two_processes_claim_one(new: Bench) -> None:
    assert set(await asyncio.gather(_claim(new), _claim(new), _claim(new))) == {1}
    assert len(await new.beats()) == 6


@pytest.mark.parametrize("carrier", ["record", "beat", "unreadable"])
async def test_it_is_above_every_epoch_in_the_log(new: Bench, carrier: str) -> None:
    """Another database wrote there, and is lost: its records, or its beats alone, are all that is left."""
    k, express = key(), new.family.express
    assert express
    record = envelope.encode(Permissions(version="41.7", subject=k), key=k, source="consents")
    producer = kafka.producer(new.bootstrap)
    await producer.start()
    if carrier == "beat":
        beat = Beat(epoch=41, term=3, n=9, generation=1, at=datetime.now(UTC))
        _, partition, raw, value, headers = everywhere(new.family, beat)[4]
        await producer.send_and_wait(express, value, raw, partition=partition, headers=headers)
    else:
        value = record.value if carrier == "record" else b"{"
        await producer.send_and_wait(express, value, record.key, headers=record.headers)
    await producer.stop()
    assert await _claim(new) == 42
    await new.pool.execute("UPDATE epoch SET open = true")  # as the relay's leader does: test_epochs.py
    assert await new.publish(k) == "42.1"


async def test_nothing_is_committed_before_the_log_has_it(
    new: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def announce(*_: object, **__: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(claim, "announce", announce)
    with pytest.raises(TimeoutError):
        await _claim(new)
    with pytest.raises(epoch.EpochNotOpenError):
        await epoch.current(new.pool)


async def test_a_service_without_state_needs_no_kafka(new: Bench) -> None:
    assert await claim.claim(new.dsn, "127.0.0.1:1", []) == 1


async def test_a_later_start_needs_no_kafka(service: Bench) -> None:
    assert await claim.claim(service.dsn, "127.0.0.1:1", [service.family]) == 1
