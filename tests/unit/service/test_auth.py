"""Tokens: the one that is right, and every way to be wrong."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from kielto.service import auth
from kielto.service.auth import Caller, Verifier
from kielto.service.problems import Problem

ISSUER, AUDIENCE = "https://issuer.example", "kielto"
GROUP = ("kauppa", "sahko")
KEY = ECKey.generate_key("P-256", {"kid": "one"})


def jwks(path: Path, *keys: Any) -> Path:
    path.write_text(json.dumps(KeySet(list(keys)).as_dict(private=False)))
    return path


def token(key: Any = KEY, alg: str = "ES256", **changes: Any) -> str:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "someone",
        "exp": int(time.time()) + 60,
        "roles": ["desk"],
        "company": "kauppa",
        **changes,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": alg, "kid": key.kid}, given, key, algorithms=[alg])


@pytest.fixture
def verifier(tmp_path: Path) -> Verifier:
    return Verifier(str(jwks(tmp_path / "jwks.json", KEY)), ISSUER, AUDIENCE, GROUP)


async def test_a_good_token(verifier: Verifier) -> None:
    assert await verifier.verify(token()) == Caller("someone", frozenset({"desk"}), "kauppa")
    assert (await verifier.verify(token(company=None, roles=None))) == Caller("someone", frozenset(), None)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"exp": -60},
        {"exp": None},
        {"nbf": 60},
        {"sub": None},
        {"sub": 7},
        {"roles": "desk"},
        {"roles": [1]},
        {"company": ""},
        {"company": ["kauppa"]},
    ],
    ids=str,
)
async def test_a_wrong_claim_is_refused(verifier: Verifier, changes: dict[str, Any]) -> None:
    """Moments are given in seconds from now."""
    moments = {name: int(time.time()) + at for name, at in changes.items() if name in ("exp", "nbf") and at}
    with pytest.raises(Problem) as refused:
        await verifier.verify(token(**changes | moments))
    assert (refused.value.status, refused.value.slug) == (401, "unauthorised")


async def test_a_company_that_left_the_group_is_refused(verifier: Verifier) -> None:
    for company in ("gone", "kaupp", "company.kauppa"):
        with pytest.raises(Problem) as refused:
            await verifier.verify(token(company=company))
        assert (refused.value.status, refused.value.slug) == (403, "unknown-company")
    assert (await verifier.verify(token(company="sahko"))).company == "sahko"


async def test_a_wrong_signature_or_algorithm_is_refused(verifier: Verifier) -> None:
    other = ECKey.generate_key("P-256", {"kid": "one"})
    secret = OctKey.import_key(json.dumps(KEY.as_dict(private=False)).encode(), {"kid": "one"})
    body = token().split(".")
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"one"}').rstrip(b"=").decode()
    for bad in (
        token(other),
        token(secret, "HS256"),  # the public key as a shared secret
        f"{body[0]}.{body[1]}.",
        f"{body[0]}.{body[1][:-2]}AA.{body[2]}",
        f"{none}.{body[1]}.",
        "not a token",
        "",
        "a.b.c",
        "x" * 10_000,
    ):
        with pytest.raises(Problem) as refused:
            await verifier.verify(bad)
        assert refused.value.status == 401
        assert body[1] not in str(refused.value.detail)


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (OKPKey.generate_key("Ed25519", {"kid": "ed"}), "Ed25519"),
        (RSAKey.generate_key(2048, {"kid": "rsa"}), "RS256"),
    ],
    ids=["Ed25519", "RS256"],
)
async def test_other_algorithms(tmp_path: Path, key: Any, alg: str) -> None:
    verifier = Verifier(str(jwks(tmp_path / "jwks.json", key)), ISSUER, AUDIENCE, GROUP)
    assert (await verifier.verify(token(key, alg))).subject == "someone"


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
    path.write_text("[]")
    later(31)
    assert (await verifier.verify(token(sub="no key set"))).subject == "no key set"
    jwks(path, new)
    later(31)
    with pytest.raises(Problem) as refused:
        await verifier.verify(token(sub="thief"))
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
        later(301)
    assert len(fetches) == 2
    for n in range(20):
        with pytest.raises(Problem):
            await verifier.verify(token(ECKey.generate_key("P-256", {"kid": str(n)})))
    assert len(fetches) == 3


def watch(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """The verifier's clock stands still from now on, but for these steps."""
    began, steps = time.monotonic(), [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: began + sum(steps))
    return steps.append


async def test_a_token_ends_at_its_time_also_when_it_was_seen_before(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = token(exp=int(time.time()) + 30)
    assert await verifier.verify(seen) == await verifier.verify(seen)
    later = time.time() + 45
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Problem):
        await verifier.verify(seen)


async def test_without_any_key_nobody_is_let_in(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    verifier = Verifier(str(path), ISSUER, AUDIENCE, GROUP)
    with pytest.raises(Problem) as refused:
        await verifier.verify(token())
    assert (refused.value.status, refused.value.slug) == (503, "issuer-unavailable"), "not the caller's fault"
    jwks(path, KEY)
    assert (await verifier.verify(token())).subject == "someone", "as soon as there is one"


def test_a_companys_caller_acts_for_it_alone() -> None:
    Caller("s", frozenset(), None).must_act_for("kauppa")
    Caller("s", frozenset(), None).must_act_for(None)
    Caller("s", frozenset(), "kauppa").must_act_for("kauppa")
    for company in ("sahko", None):
        with pytest.raises(Problem) as refused:
            Caller("s", frozenset(), "kauppa").must_act_for(company)
        assert (refused.value.status, refused.value.slug) == (403, "foreign-company")
