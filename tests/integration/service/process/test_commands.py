"""The commands of an operator: what they do, and that their errors show nothing that a message held."""

import asyncio
from types import SimpleNamespace
from uuid import uuid4

import asyncpg
import pytest

from kielto.events import envelope
from kielto.events.envelope import Read
from kielto.events.records import Permissions
from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.service.database import pool
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta, PermanentError, Subscription
from kielto.service.inbox.quarantine import QuarantineReason, put
from kielto.service.process import commands
from kielto.service.process.platform import Service
from tests.integration.service.support import CIPHER, Bench, key, quarantine_of
from tests.waiting import until

SECRET = "040 123 4567"


class Fails:
    """A handler that raises what it was given."""

    def __init__(self, failure: Exception) -> None:
        self.failure = failure

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        raise self.failure

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        raise AssertionError


async def run(bench: Bench, service: Service, *arguments: str) -> int:
    quarantine = quarantine_of(bench, service.subscriptions)
    return await commands.run(arguments, bench.pool, quarantine, service)


class MovedServerError(Exception):
    """As a use case's, when others changed the same customers meanwhile."""


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (PermanentError("subject: is nobody of ours"), "not done: subject: is nobody of ours"),
        (asyncpg.DataError(f"invalid {SECRET}"), "not done: DataError: the database can never store this"),
        (asyncpg.UniqueViolationError(f"Key {SECRET} exists"), "not done: UniqueViolationError at "),
        (asyncpg.DeadlockDetectedError(f"row {SECRET}"), "the database is away or busy"),
        (ConnectionResetError(SECRET), "the database is away or busy"),
        (KeyError(SECRET), "not done: KeyError at "),
        (MovedServerError(SECRET), "try again"),
    ],
    ids=lambda given: type(given).__name__,
)
async def test_a_replay_that_fails_says_what_kind_and_what_to_do(
    service: Bench, failure: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    topic, k = service.family.topic(Lane.BULK), key()
    message = envelope.encode(Permissions(version="1.1", subject=k), key=k, source="consents")
    record = SimpleNamespace(**message._asdict())
    async with pool.transaction(service.pool) as conn:
        meta, why = Meta(topic, uuid4(), 0, 0, 0), QuarantineReason("r", keyless=False, holds=True)
        await put(conn, CIPHER, record, meta, why)
    (kept,) = await quarantine_of(service).listed()
    reading = Service(families=(), subscriptions=[Subscription(topic, Fails(failure))])
    assert await run(service, reading, "quarantine", "replay", str(kept.id)) == 1
    printed = capsys.readouterr()
    assert told in printed.out
    assert SECRET not in printed.out + printed.err
    assert len(await quarantine_of(service).listed()) == 1, "it is still there"


async def test_a_replay_of_what_is_not_there(service: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(service, Service(families=()), "quarantine", "replay", "7") == 1
    assert (
        capsys.readouterr().out == "not done: message 7: is not open in quarantine: see `quarantine list`\n"
    )


async def test_a_backfill_by_command_waits_until_all_is_named_again(
    service: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_LOOK_SECONDS", 0.05)
    k, writing = key(), Service(families=(service.family,))
    await service.publish(k)
    name = service.family.name
    waiting = asyncio.create_task(run(service, writing, "snapshot", "--all", "--wait"))
    await asyncio.sleep(0.3)
    assert not waiting.done(), "nobody has done the work yet"
    service.relay(Lane.BULK)
    assert await asyncio.wait_for(waiting, 20) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{name}\tgeneration 1\trequested"
    assert f"{name}\tgeneration 1\twaits for the relay" in lines
    assert lines[-1] == f"{name}\tgeneration 1\tfinished"
    named = {e.key for e in await service.log(Lane.BULK)}
    assert named == {k, "!snapshot"}
    assert await run(service, writing, "snapshot", name) == 0, "without --wait it only asks"
    await until(lambda: _finished(service, 2), "not finished")


async def _finished(service: Bench, generation: int) -> bool:
    query = "SELECT finished_at IS NOT NULL FROM snapshots WHERE generation = $1"
    return bool(await service.pool.fetchval(query, generation))


async def test_a_waiting_command_ends_with_a_newer_generation(service: Bench) -> None:
    writing = Service(families=(service.family,))
    waiting = asyncio.create_task(run(service, writing, "snapshot", service.family.name, "--wait"))
    await until(lambda: _asked(service), "not requested")
    assert await run(service, writing, "snapshot", "--all") == 0
    service.relay(Lane.BULK)
    assert await asyncio.wait_for(waiting, 20) == 0


async def _asked(service: Bench) -> bool:
    return bool(await service.pool.fetchval("SELECT count(*) = 1 FROM snapshots"))


async def test_a_backfill_of_anothers_family_or_before_an_epoch_is_refused(
    service: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    writing = Service(families=(service.family,))
    assert await run(service, writing, "snapshot", "customers") == 1
    assert await run(service, writing, "snapshot", "--all", "--now") == 2
    await service.pool.execute("DELETE FROM epoch")
    assert await run(service, writing, "snapshot", "--all") == 1
    assert "no epoch is open" in capsys.readouterr().out
    assert await service.pool.fetchval("SELECT count(*) FROM snapshots") == 0
