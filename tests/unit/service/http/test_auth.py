"""Tokens: the one that is right, and every way to be wrong."""

import base64
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from kielto.clock import utc_now
from kielto.service.http import auth
from kielto.service.http.auth import Caller, Verifier
from kielto.service.http.problem import ProblemError
from kielto.service.support.limits import FIXED
from tests.unit.service.http.tokens import AUDIENCE, GROUP, ISSUER, KEY, jwks, token


@pytest.fixture
def verifier(tmp_path: Path) -> Verifier:
    return Verifier(str(jwks(tmp_path / "jwks.json", KEY)), ISSUER, AUDIENCE, GROUP)


async def test_a_good_token(verifier: Verifier) -> None:
    assert await verifier.verify(token()) == Caller("someone", frozenset({"desk"}), "kauppa")
    group = token(company=None, group=True, roles=None)
    assert await verifier.verify(group) == Caller("someone", frozenset(), None)


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
        {"sub": ""},
        {"sub": "some\0one"},
        {"sub": "x" * 256},
        {"iss": ["https://issuer.example"]},
        {"aud": {"kielto": True}},
        {"exp": "soon"},
        {"exp": 10**400},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"nbf": [60]},
    ],
    ids=str,
)
async def test_a_wrong_claim_is_refused(verifier: Verifier, changes: dict[str, Any]) -> None:
    """Moments are given in seconds from now."""
    moments = {
        name: int(time.time()) + at
        for name, at in changes.items()
        if name in ("exp", "nbf") and at in (-60, 60)
    }
    with pytest.raises(ProblemError) as refused:
        await verifier.verify(token(**changes | moments))
    assert (refused.value.status, refused.value.slug) == (401, "unauthorised")


async def test_a_token_that_is_too_long_is_refused_before_anything_of_it_is_read(verifier: Verifier) -> None:
    rest = FIXED.token_bytes - len(token(more=""))
    assert (await verifier.verify(token(more="x" * (rest * 3 // 4 - 8)))).subject == "someone"
    for length in (rest, 10 * rest):
        with pytest.raises(ProblemError) as refused:
            await verifier.verify(token(more="x" * length))
        assert (refused.value.status, refused.value.detail) == (401, "the token is too long")


async def test_a_company_that_left_the_group_is_refused(verifier: Verifier) -> None:
    for company in ("gone", "kaupp", "company.kauppa"):
        with pytest.raises(ProblemError) as refused:
            await verifier.verify(token(company=company))
        assert (refused.value.status, refused.value.slug) == (403, "unknown-company")
    assert (await verifier.verify(token(company="sahko"))).company == "sahko"


async def test_half_a_character_in_a_subject_is_refused(verifier: Verifier) -> None:
    """JSON can name it; no database takes it."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "half \ud800", "exp": int(time.time()) + 60}
    with pytest.raises(ProblemError) as refused:
        await verifier.verify(_signed(json.dumps({**claims, "company": "kauppa"}).encode()))
    assert refused.value.status == 401


@pytest.mark.parametrize("part", ["header", "payload"])
@pytest.mark.parametrize("nested", ["[" * 2500 + "]" * 2500, '{"a":' * 900 + "1" + "}" * 900])
async def test_a_token_nested_deep_is_refused_as_any_other(
    verifier: Verifier, part: str, nested: str
) -> None:
    _, payload, signature = token().split(".")
    deep = _encoded(f'{{"alg":"ES256","kid":"one","x":{nested}}}'.encode())
    bad = f"{deep}.{payload}.{signature}" if part == "header" else _signed(f'{{"x":{nested}}}'.encode())
    with pytest.raises(ProblemError) as refused:
        await verifier.verify(bad)
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "changes",
    [
        {"company": None},
        {"company": None, "group": False},
        {"company": None, "group": "true"},
        {"company": None, "group": 1},
        {"company": "kauppa", "group": True},
    ],
    ids=str,
)
async def test_a_token_says_for_whom_it_is(verifier: Verifier, changes: dict[str, Any]) -> None:
    """What an issuer forgets to say must not open the whole group."""
    with pytest.raises(ProblemError) as refused:
        await verifier.verify(token(**changes))
    assert (refused.value.status, refused.value.slug) == (403, "company-or-group-needed")
    assert (await verifier.verify(token(company="kauppa", group=False))).company == "kauppa"


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
        with pytest.raises(ProblemError) as refused:
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


async def test_a_token_ends_at_its_time_also_when_it_was_seen_before(
    verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = token(exp=int(time.time()) + 30)
    assert await verifier.verify(seen) == await verifier.verify(seen)
    later = utc_now() + timedelta(seconds=45)
    monkeypatch.setattr(auth, "utc_now", lambda: later)
    monkeypatch.setattr(time, "time", later.timestamp)  # what reads the token asks it
    with pytest.raises(ProblemError):
        await verifier.verify(seen)


def test_a_companys_caller_acts_for_it_alone() -> None:
    Caller("s", frozenset(), None).must_act_for("kauppa")
    Caller("s", frozenset(), None).must_act_for(None)
    Caller("s", frozenset(), "kauppa").must_act_for("kauppa")
    for company in ("sahko", None):
        with pytest.raises(ProblemError) as refused:
            Caller("s", frozenset(), "kauppa").must_act_for(company)
        assert (refused.value.status, refused.value.slug) == (403, "foreign-company")


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def _signed(payload: bytes) -> str:
    """Of whatever payload, by the issuer's own key."""
    return jws.serialize_compact({"alg": "ES256", "kid": "one"}, payload, KEY)
