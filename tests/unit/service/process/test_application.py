"""The edge of HTTP without a database: limits, problems, refusals, what is logged."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

import httpx
import pytest
import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from prometheus_client import generate_latest
from pydantic import BaseModel

from kielto.service.database.pool import Pool
from kielto.service.http.auth import Caller, RoleCheck, Verifier
from kielto.service.http.idempotency import IdempotencyKey, idempotency_key
from kielto.service.http.problem import ProblemError
from kielto.service.process.application import Health, create_app
from kielto.service.support import logs
from kielto.service.support.limits import FIXED, Limits
from kielto.validation import FieldRule

BEARER = {"Authorization": "Bearer me"}


class Thing(BaseModel):
    name: str
    size: int = 0


class Anyone:
    async def verify(self, token: str) -> Caller:
        return Caller(token, frozenset({"desk"}), None)


class Trail:
    """In place of a database: takes entries of the audit trail."""

    async def execute(self, *_: object) -> None: ...


async def _ticks() -> AsyncIterator[bytes]:
    while True:
        yield b"tick"
        await asyncio.sleep(0.01)


def app(health: Health | None = None, limits: Limits | None = None) -> FastAPI:
    router = APIRouter(prefix="/test")

    @router.post("/things")
    async def post(thing: Thing, _: Annotated[Caller, Depends(RoleCheck("desk"))]) -> Thing:
        return thing

    @router.post("/once")
    async def once(thing: Thing, _: Annotated[IdempotencyKey | None, Depends(idempotency_key)]) -> Thing:
        return thing

    @router.post("/stream")
    async def stream(request: Request) -> int:
        return sum([len(part) async for part in request.stream()])

    @router.put("/things/{ident}")
    async def put(ident: str, thing: Thing) -> Thing:
        return thing

    @router.get("/things/{ident}")
    async def get(ident: str, of: str = "") -> Thing:
        return Thing(name=of)

    @router.get("/stream")
    async def long() -> StreamingResponse:
        return StreamingResponse(_ticks())

    @router.get("/refused")
    async def refused() -> None:
        raise ProblemError(409, "taken", "It is taken.", "Twice.", errors=[FieldRule("a.b", "is free")])

    @router.get("/away")
    async def away() -> None:
        raise ConnectionRefusedError("secret-address")

    pool, verifier = cast(Pool, Trail()), cast(Verifier, Anyone())
    return create_app(
        "test",
        [router],
        pool=pool,
        verifier=verifier,
        health=health or Health(claimed=True),
        streamed=["/test/stream"],
        limits=limits,
    )


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=BEARER) as client:
        yield client


async def _parts(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"x" * 100_000


async def test_a_body_without_a_length_is_cut_off_too(client: httpx.AsyncClient) -> None:
    answer = await client.post("/test/things", content=_parts(30))
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:kielto:problem:body-too-large")
    declared = await client.post("/test/things", content=b"x" * (Limits().body_bytes + 1))
    assert declared.status_code == 413


async def test_an_idempotency_key_has_so_many_characters(client: httpx.AsyncClient) -> None:
    for key, status in (("k" * FIXED.idempotency_key_characters, 200), ("k" * 201, 400), ("a key", 400)):
        answer = await client.post("/test/once", json={"name": "a"}, headers={"Idempotency-Key": key})
        assert answer.status_code == status, key
        if status == 400:
            assert answer.json()["type"] == "urn:kielto:problem:malformed-idempotency-key"
            assert key not in answer.text


async def test_of_two_tokens_none_counts(client: httpx.AsyncClient) -> None:
    """Whoever stands before us may have looked at the other one."""
    headers = [("Authorization", "Bearer me"), ("Authorization", "Bearer another")]
    client.headers.pop("Authorization")
    answer = await client.post("/test/things", json={"name": "a"}, headers=headers)
    assert (answer.status_code, answer.json()["detail"]) == (401, "send one Authorization header")


async def test_a_stream_has_no_limit_as_a_whole(client: httpx.AsyncClient) -> None:
    answer = await client.post("/test/stream", content=_parts(30))
    assert answer.json() == 3_000_000


async def test_problems_have_all_members(client: httpx.AsyncClient) -> None:
    answer = await client.get("/test/refused")
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()) == (
        409,
        {
            "type": "urn:kielto:problem:taken",
            "title": "It is taken.",
            "status": 409,
            "detail": "Twice.",
            "instance": "/test/refused",
            "errors": [{"field": "a.b", "rule": "is free"}],
        },
    )


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (b'{"size": 1}', ["name"]),
        (b'{"name": 5, "size": "many"}', ["name", "size"]),
        (b"[1]", ["body"]),
        (b"{", ["body"]),
        (b"\xff", ["body"]),
        (b"", ["body"]),
    ],
)
async def test_bad_bodies_name_fields_and_never_values(
    client: httpx.AsyncClient, content: bytes, fields: list[str]
) -> None:
    answer = await client.post("/test/things", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert [error["field"] for error in answer.json().get("errors", [{"field": "body"}])] == fields
    assert "many" not in answer.text


async def test_unknown_paths_and_methods_are_problems(client: httpx.AsyncClient) -> None:
    for method, path, status in (("GET", "/nothing", 404), ("DELETE", "/test/things", 405)):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_the_database_away_is_503_without_details(client: httpx.AsyncClient) -> None:
    answer = await client.get("/test/away")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:kielto:problem:database-unavailable")
    assert answer.headers["retry-after"] == "1"
    assert "secret-address" not in answer.text


async def test_before_the_epoch_only_reading_is_answered() -> None:
    health = Health()
    transport = httpx.ASGITransport(app(health))
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=BEARER) as client:
        refused = await client.post("/test/stream", content=b"x")
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:kielto:problem:epoch-not-claimed")
        assert (await client.get("/test/refused")).status_code == 409
        health.claimed = True
        assert (await client.post("/test/stream", content=b"x")).status_code == 200


async def test_openapi_is_served_under_the_services_prefix(client: httpx.AsyncClient) -> None:
    described = (await client.get("/test/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    assert "/livez" not in described["paths"]
    assert (await client.get("/openapi.json")).json() == described
    assert "/test/things" in (await client.get("/docs")).text


def test_logs_name_errors_and_never_quote_them(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    before = logging.root.handlers[:], logging.root.level
    try:
        logs.configure("info", "test")
        try:
            raise ValueError("a@example.com")
        except ValueError:
            structlog.get_logger("kielto.x").exception("failed", place=3)
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
        for _ in range(50):
            logging.getLogger("aiokafka.conn").warning("Unable to connect to %s", "b")
        structlog.get_logger("kielto.x").debug("not at this level")
    finally:
        logging.root.handlers, level = before[0], before[1]
        logging.root.setLevel(level)
        structlog.reset_defaults()
    lines: list[dict[str, Any]] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [
        "failed",
        "Exception in ASGI application",
        "Unable to connect to b",
    ]
    assert (lines[0]["exception"], lines[0]["place"], lines[0]["service"]) == ("ValueError", 3, "test")
    assert "test_application.py" in lines[1]["at"]
    assert "example.com" not in out.getvalue()


async def test_a_method_that_nobody_knows_is_no_label(client: httpx.AsyncClient) -> None:
    answered = await client.request("Planted.Person", "/test/things")
    assert answered.status_code == 405
    labels = generate_latest().decode()
    assert 'kielto_http_request_seconds_count{method="other"' in labels
    assert "planted.person" not in labels.lower()


NO_TOKEN = [
    ("POST", "/test/things"),
    ("PUT", "/test/things/1"),
    ("POST", "/test/stream"),
    ("DELETE", "/test/x"),
]


@pytest.mark.parametrize(("method", "path"), NO_TOKEN)
async def test_a_token_is_looked_at_before_a_body(method: str, path: str) -> None:
    """Not a byte of the body is asked for."""
    asked: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        asked.append(1)
        yield b"{"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app()), base_url="http://t") as client:
        answer = await client.request(method, path, content=body())
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:kielto:problem:unauthorised")
    assert asked == []


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b'{"name": '
        await asyncio.sleep(30)

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.05)

    transport = httpx.ASGITransport(app(limits=Limits(body_seconds=0.2)))
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=BEARER) as client:
        for body in (half, drip):
            answer = await client.post("/test/things", content=body())
            assert (answer.status_code, answer.json()["type"]) == (408, "urn:kielto:problem:body-timeout")
            assert answer.headers["connection"] == "close"
        stream = await client.post("/test/stream", content=half())
        assert stream.status_code == 408


async def test_a_stream_may_be_long_but_not_silent() -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x"
            await asyncio.sleep(0.05)

    transport = httpx.ASGITransport(app(limits=Limits(body_seconds=0.2)))
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=BEARER) as client:
        assert (await client.post("/test/stream", content=slow())).json() == 8


@pytest.mark.parametrize(
    "path", ["/livez", "/test/things/1", "/test/nothing", "/test/refused", "/test/stream"]
)
async def test_head_is_get_without_its_body(client: httpx.AsyncClient, path: str) -> None:
    head = await client.head(path)
    assert head.content == b""
    if path == "/test/stream":
        assert head.status_code == 200
        return
    got = await client.get(path)
    assert (head.status_code, head.headers["content-type"]) == (got.status_code, got.headers["content-type"])


async def test_a_405_names_all_methods_of_the_path(client: httpx.AsyncClient) -> None:
    for method, path, allowed in (
        ("DELETE", "/test/things/1", "GET, HEAD, PUT"),
        ("PATCH", "/test/stream", "GET, HEAD, POST"),
        ("HEAD", "/test/things", "POST"),
        ("POST", "/livez", "GET, HEAD"),
    ):
        answer = await client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.parametrize("path", ["/test/things/", "/test/refused/", "/livez/"])
async def test_a_trailing_slash_leads_nowhere(client: httpx.AsyncClient, path: str) -> None:
    """A redirect would go to whatever host the caller names."""
    answer = await client.get(path, headers={"Host": "evil.example"})
    assert answer.status_code in (404, 405)
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("ov=x", "ov"),
        ("of=x&limit=3", "limit"),
        ("aino@example.com=1", "?"),
        ("0405550002", "?"),
        ("%00=", "?"),
    ],
)
async def test_an_unknown_query_parameter_is_refused(
    client: httpx.AsyncClient, query: str, field: str
) -> None:
    answer = await client.get(f"/test/things/1?{query}")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:kielto:problem:invalid-request")
    rule = "is not a parameter of this operation; its parameters are: of"
    assert answer.json()["errors"] == [{"field": field, "rule": rule}]
    assert (await client.get("/test/things/1?of=x")).json()["name"] == "x"
