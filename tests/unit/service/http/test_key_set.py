"""The issuer's key set: what is new in it, what is withdrawn from it, and an issuer that is away or hangs."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OKPKey

from kielto.service.http import auth
from kielto.service.http.auth import Verifier
from kielto.service.http.problem import ProblemError
from tests.unit.service.http.tokens import AUDIENCE, GROUP, ISSUER, KEY, jwks, token


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
    with pytest.raises(ProblemError):
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
        with pytest.raises(ProblemError) as refused:
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
        with pytest.raises(ProblemError):
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
        with pytest.raises(ProblemError) as refused:
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
    with pytest.raises(ProblemError):
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
        with pytest.raises(ProblemError) as refused:
            await Verifier(url, ISSUER, AUDIENCE, GROUP).verify(token())
        assert refused.value.slug == "issuer-unavailable"
        await left.wait()


async def test_without_any_key_nobody_is_let_in(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    verifier = Verifier(str(path), ISSUER, AUDIENCE, GROUP)
    with pytest.raises(ProblemError) as refused:
        await verifier.verify(token())
    assert (refused.value.status, refused.value.slug) == (503, "issuer-unavailable"), "not the caller's fault"
    jwks(path, KEY)
    assert (await verifier.verify(token())).subject == "someone", "as soon as there is one"


UNUSABLE: dict[str, dict[str, Any]] = {
    "another curve": {
        "kty": "EC",
        "crv": "secp256k1",
        "kid": "c",
        "x": "eebmiiFZ8wYqLIQpsO7NJ1vhxQfB0NtELKgDCcXbbQo",
        "y": "aTfbVoYzvMVLKtxdGCZbkNOVXTyTOYx_KzKqlY8RwEY",
    },
    "another type": {"kty": "AKP", "kid": "c", "alg": "ML-DSA-44", "pub": "AAAA"},
    "a secret": {"kty": "oct", "kid": "c", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"},
    "to encrypt": {**ECKey.generate_key("P-256", {"kid": "c"}).as_dict(private=False), "use": "enc"},
    "of another algorithm": {**KEY.as_dict(private=False), "kid": "c", "alg": "ES384"},
    "no point of its curve": {"kty": "EC", "crv": "P-256", "kid": "c", "x": "AAAA", "y": "AAAA"},
    "no type": {"kid": "c"},
    "no object": cast(Any, "c"),
}


@pytest.mark.parametrize("which", UNUSABLE)
async def test_a_key_that_cannot_be_used_spoils_no_other(tmp_path: Path, which: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [UNUSABLE[which], KEY.as_dict(private=False)]}))
    verifier = Verifier(str(path), ISSUER, AUDIENCE, GROUP)
    with structlog.testing.capture_logs() as logged:
        assert (await verifier.verify(token())).subject == "someone"
        await verifier._fetch()
    told = [line for line in logged if line["event"] == "issuer.key_unusable"]
    assert len(told) == 1, "once, not at each fetch"
    assert told[0]["why"]


async def test_a_token_that_names_no_key_is_tried_against_all(tmp_path: Path) -> None:
    path, new = tmp_path / "jwks.json", ECKey.generate_key("P-256", {"kid": "two"})
    edwards = OKPKey.generate_key("Ed25519", {"kid": "ed"})
    jwks(path, edwards, new, KEY)
    verifier = Verifier(str(path), ISSUER, AUDIENCE, GROUP)
    for key, alg in ((KEY, "ES256"), (new, "ES256"), (edwards, "Ed25519")):
        assert (await verifier.verify(unnamed(key, alg))).subject == "someone"
    stranger = ECKey.generate_key("P-256", {"kid": "three"})
    with pytest.raises(ProblemError) as refused:
        await verifier.verify(unnamed(stranger, "ES256"))
    assert refused.value.status == 401


async def test_a_token_that_names_no_key_may_be_of_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, new = tmp_path / "jwks.json", ECKey.generate_key("P-256", {"kid": "two"})
    verifier = Verifier(str(jwks(path, KEY)), ISSUER, AUDIENCE, GROUP)
    await verifier.verify(token())
    jwks(path, KEY, new)
    monkeypatch.setattr(auth, "_REFETCH_SECONDS", 0.0)
    assert (await verifier.verify(unnamed(new, "ES256"))).subject == "someone"


@pytest.mark.parametrize("emptied", [[], [UNUSABLE["another curve"]]], ids=["no key", "no usable key"])
async def test_an_emptied_set_ends_the_keys_that_were_in_it(
    verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, emptied: list[Any]
) -> None:
    """So an issuer ends all tokens at once."""
    later = watch(monkeypatch)
    seen = token()
    await verifier.verify(seen)
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": emptied}))
    later(301)
    await verifier.verify(token(sub="nobody waits for the fetch"))
    await fetched(verifier)
    for refused in (seen, token(sub="another"), unnamed(KEY, "ES256")):
        with pytest.raises(ProblemError) as problem:
            await verifier.verify(refused)
        assert problem.value.status == 401


def unnamed(key: Any, alg: str) -> str:
    """A token whose header names no key."""
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "someone",
        "exp": int(time.time()) + 60,
        "company": "kauppa",
    }
    return jwt.encode({"alg": alg}, claims, key, algorithms=[alg])
