"""A subscriber before it is entered, while the broker is away, and after it was left."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from kielto import kafka
from kielto.clock import utc_now
from kielto.events.control import Reconcile
from kielto.subscriber import MemoryStore, Question, Reason, SpoolInUseError, Subscriber
from kielto.subscriber.submit.results import ResultsReader
from kielto.subscriber.submit.sender import Submitting
from kielto.subscriber.submit.spool import Spool
from kielto.subscriber.support.brokers import Brokers
from kielto.subscriber.sync.acks import AckSender
from kielto.subscriber.sync.reading import Following
from kielto.subscriber.sync.session import Session
from kielto.subscriber.sync.store_digests import Digests
from tests.unit.subscriber.submit.test_sender import SpooledDesk, said

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")


def make(**changes: Any) -> Subscriber:
    settings: dict[str, Any] = {
        "subscriber": "crm",
        "party": "company.kauppa",
        "bootstrap": "127.0.0.1:9",
        "point_keys": {1: b"k" * 32},
        "store": MemoryStore(),
        "flush_seconds": 0.0,
    }
    return Subscriber(**(settings | changes))


CALLS: list[Callable[[Subscriber], Coroutine[Any, Any, Any]]] = [
    lambda kielto: kielto.submit("ban", phone="040 1234567"),
    lambda kielto: kielto.sent(uuid4()),
    lambda kielto: kielto.result(uuid4(), 1.0),
    lambda kielto: kielto.ready(1.0),
]


@pytest.mark.parametrize("call", CALLS, ids=["submit", "sent", "result", "ready"])
async def test_outside_of_its_context_it_says_so(
    call: Callable[[Subscriber], Coroutine[Any, Any, Any]], tmp_path: Path
) -> None:
    kielto = make(spool=str(tmp_path / "spool"))
    with pytest.raises(RuntimeError, match="not entered yet"):
        await call(kielto)
    async with kielto:
        pass
    with pytest.raises(RuntimeError, match="already left"):
        await call(kielto)
    assert kielto.may(Question("own_marketing", "email", number="1")).reason is Reason.STARTING
    assert len(asyncio.all_tasks()) == 1
    with pytest.raises(RuntimeError, match="was entered before"):
        await kielto.__aenter__()


async def test_a_spool_that_cannot_be_loaded_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    Spool(path).close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO decisions (id, key, decision) VALUES ('1', 'k', '{}')")
    for _ in range(2):
        with pytest.raises(ValueError, match="Decision"):
            await make(spool=path).__aenter__()
    try:
        Spool(path).close()
    except SpoolInUseError:
        pytest.fail("the lock is still held")


class BrokenStore:
    """A producer or consumer that fails as no Kafka client should."""

    def __init__(
        self,
        started: list[str],
        error: Exception = RuntimeError("unable to perform operation on <TCPTransport closed=True>"),  # noqa: B008
    ) -> None:
        self._started, self._error = started, error
        self._sender = self.client = self

    async def start(self) -> None:
        self._started.append("")
        raise self._error

    async def close(self) -> None: ...

    async def stop(self) -> None: ...


async def tried_again(run: Coroutine[Any, Any, None], started: list[str], times: int = 2) -> None:
    task = asyncio.create_task(run)
    async with asyncio.timeout(5):
        while len(started) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])


async def test_whatever_fails_decisions_are_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[str] = []
    monkeypatch.setattr("kielto.subscriber.support.brokers.RETRY_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(kafka, "producer", lambda *_, **__: BrokenStore(started))
    desk = SpooledDesk(tmp_path, "company.kauppa")
    await desk.says(said())
    await tried_again(desk.submitting.run(), started)
    assert "decisions cannot be sent and wait in the spool; trying again: RuntimeError" in caplog.text


async def test_whatever_fails_results_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr("kielto.subscriber.support.brokers.RETRY_SECONDS", (0.01, 0.01))
    monkeypatch.setattr(kafka, "consumer", lambda *_, **__: BrokenStore(started))
    await tried_again(ResultsReader(Brokers(""), "company.kauppa", utc_now()).run(), started)


async def test_a_broker_that_is_away_is_said_once_in_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[str] = []
    monkeypatch.setattr("kielto.subscriber.sync.store_digests.RETRY_SECONDS", 0.01)
    monkeypatch.setattr(kafka, "producer", lambda *_, **__: BrokenStore(started, ConnectionRefusedError()))
    sender = AckSender("company.kauppa", "crm", uuid4(), "acks", {})
    following = cast(Following, None)  # no client is started, so no topic is verified
    digests = Digests(Brokers(""), sender, MemoryStore(), cast(Session, None), following)
    digests.asked([Reconcile(subscriber="crm", ask=uuid4())])
    await tried_again(digests.run(), started, times=5)
    assert caplog.text.count("digests not sent; trying again") == 1


async def test_a_task_that_ends_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def ends(_: Submitting) -> None:
        raise ValueError("secret@example.com")

    monkeypatch.setattr(Submitting, "run", ends)
    async with make(spool=tmp_path / "spool"):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert "a background task of the subscriber failed: ValueError at " in caplog.text
    assert "secret" not in caplog.text
