"""The issuer's key set: what is new in it, what is withdrawn from it, and an issuer that is away or hangs."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, KeySet

from kielto.service import auth
from kielto.service.auth import Verifier
from kielto.service.problems import Problem
from tests.unit.service.tokens import AUDIENCE, GROUP, ISSUER, KEY, jwks, token


@pytest.fixture
def verifier(tmp_path: Path) -> Verifier:
    return Verifier(str(jwks(tmp_path / "jwks.json", KEY)), ISSUER, AUDIENCE, GROUP)


async def test_a_new_key_is_fetched_but_not_at_every_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, new = tmp_path / "jwks.json", ECKey.generate_key("P-256", {"kid": "two"})
    verifier = Verifier(str(jwks(path, KEY)), ISSUER, AUDIENCE, GROUP)
    await verifier.verify(token())
    jwks(path, KEY, new)
    with pytest.raises(Problem):
        await verifier.verify(token(new))  # within the floor
    monkeypatch.setattr(auth, "_REFETCH_SECONDS", 0.0)
    assert (await verifier.verify(token(new))).subject == "someone"
    path.unlink()
    assert (await verifier.verify(token())).subject == "someone", "an issuer that is away ends nothing"


async def test_a_key_that_the_issuer_withdraws_lets_nobody_in_after_five_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, new = tmp_path / "jwks.json", ECKey.generate_key("P-256", {"kid": "two"})
    verifier = Verifier(str(jwks(path, KEY, new)), ISSUER, AUDIENCE, GROUP)
    later = watch(monkeypatch)
    await verifier.verify(token())
    path.unlink()
    later(301)
    assert (await verifier.verify(token(sub="while it is away"))).subject == "while it is away"
    await fetched(verifier)
    path.write_text("[]")
    later(31)
    assert (await verifier.verify(token(sub="no key set"))).subject == "no key set"
    await fetched(verifier)
    jwks(path, new)
    later(31)
    seen = token(sub="the last")
    assert (await verifier.verify(seen)).subject == "the last", "nobody waits"
    await fetched(verifier)
    for withdrawn in (token(sub="thief"), seen):
        with pytest.raises(Problem) as refused:
            await verifier.verify(withdrawn)
        assert refused.value.status == 401
    assert (await verifier.verify(token(new))).subject == "someone"


async def test_an_old_key_set_is_fetched_once_for_all_who_wait(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetches, later = [], watch(monkeypatch)
    load = verifier._load

    async def counted() -> Any:
        fetches.append(1)
        return await load()

    monkeypatch.setattr(verifier, "_load", counted)
    for _ in range(2):
        await asyncio.gather(*(verifier.verify(token(sub=str(n))) for n in range(20)))
        await fetched(verifier)
        later(301)
    assert len(fetches) == 2
    for n in range(20):
        with pytest.raises(Problem):
            await verifier.verify(token(ECKey.generate_key("P-256", {"kid": str(n)})))
    assert len(fetches) == 3


async def fetched(verifier: Verifier) -> None:
    """What is being fetched has come, or has not."""
    assert verifier._fetching is not None
    await verifier._fetching


def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The verifier's clock stands still from now on, but for these steps."""
    began, steps = time.monotonic(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: began + sum(steps))
    return steps.append


class Issuer:
    """Answers with its keys when it is let; counts how often it was asked."""

    def __init__(self, verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys, self.asked, self.answers = [KEY], 0, asyncio.Event()
        self.answers.set()
        monkeypatch.setattr(verifier, "_load", self._load)

    async def _load(self) -> Any:
        self.asked += 1
        await self.answers.wait()
        return KeySet(list(self.keys)).as_dict(private=False)


@pytest.fixture
async def hanging(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> Issuer:
    """Its keys were fetched long ago, and it answers no more."""
    issuer = Issuer(verifier, monkeypatch)
    await verifier.verify(token(sub="at first"))
    verifier._fetched = verifier._tried = time.monotonic() - 1000
    issuer.answers.clear()
    issuer.asked = 0
    return issuer


async def test_nobody_whose_key_is_known_waits_for_an_issuer_that_hangs(
    verifier: Verifier, hanging: Issuer
) -> None:
    async with asyncio.timeout(2.0):
        for _ in range(2):
            callers = [verifier.verify(token(sub=str(n))) for n in range(50)]
            assert [c.subject for c in await asyncio.gather(*callers)] == [str(n) for n in range(50)]
            await asyncio.sleep(0)
    assert hanging.asked == 1


async def test_a_withdrawn_key_lets_nobody_in_once_the_issuer_has_answered(
    verifier: Verifier, hanging: Issuer
) -> None:
    hanging.keys, seen = [ECKey.generate_key("P-256", {"kid": "two"})], token()
    assert (await verifier.verify(seen)).subject == "someone"
    hanging.answers.set()
    await fetched(verifier)
    for withdrawn in (seen, token(sub="another")):
        with pytest.raises(Problem) as refused:
            await verifier.verify(withdrawn)
        assert refused.value.status == 401


async def test_whose_key_is_unknown_waits_with_the_others(verifier: Verifier, hanging: Issuer) -> None:
    new = ECKey.generate_key("P-256", {"kid": "two"})
    hanging.keys.append(new)
    leaves, *stay = [asyncio.create_task(verifier.verify(token(new, sub=str(n)))) for n in range(3)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in (leaves, *stay))
    leaves.cancel()  # as a client that has gone: the others' fetch goes on
    await asyncio.sleep(0.01)
    hanging.answers.set()
    assert [caller.subject for caller in await asyncio.gather(*stay)] == ["1", "2"]
    assert hanging.asked == 1


async def test_a_set_grows_no_older_while_nobody_comes(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who comes first after a quiet night is let in by a key that was withdrawn in the evening."""
    issuer, later = Issuer(verifier, monkeypatch), watch(monkeypatch)
    await verifier.verify(token())
    issuer.keys = [ECKey.generate_key("P-256", {"kid": "two"})]
    for asked in (2, 3):
        later(301)
        for _ in range(10):
            await asyncio.sleep(0)
        assert issuer.asked == asked
    with pytest.raises(Problem):
        await verifier.verify(token(sub="thief"))


async def test_an_issuer_that_answers_byte_by_byte_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit for each read is never reached."""
    monkeypatch.setattr(auth, "_FETCH_SECONDS", 0.5)
    left = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        writer.close()
        left.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server, asyncio.timeout(10.0):
        url = "http://{}:{}/".format(*server.sockets[0].getsockname())
        with pytest.raises(Problem) as refused:
            await Verifier(url, ISSUER, AUDIENCE, GROUP).verify(token())
        assert refused.value.slug == "issuer-unavailable"
        await left.wait()


async def test_without_any_key_nobody_is_let_in(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    verifier = Verifier(str(path), ISSUER, AUDIENCE, GROUP)
    with pytest.raises(Problem) as refused:
        await verifier.verify(token())
    assert (refused.value.status, refused.value.slug) == (503, "issuer-unavailable"), "not the caller's fault"
    jwks(path, KEY)
    assert (await verifier.verify(token())).subject == "someone", "as soon as there is one"
