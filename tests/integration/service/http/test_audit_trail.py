"""The audit trail: an entry for every request of somebody identified and for every command; none is lost."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Annotated, Any, cast
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, Body, Depends, Response

from kielto.service.audit_trail import api
from kielto.service.database import audit_entry
from kielto.service.database import pool as postgres
from kielto.service.http.auth import Caller, RoleCheck
from kielto.service.http.idempotency import IdempotencyKey, idempotency_key
from kielto.service.http.problem import ProblemError
from kielto.service.inbox.quarantine import Quarantine
from kielto.service.process import commands
from kielto.service.process.application import Health, create_app
from kielto.service.process.platform import Service
from kielto.service.support.crypto_keys import KeyFile, Keys
from kielto.service.support.limits import Limits
from kielto.validation import FieldRule
from tests.integration.service.support import Bench
from tests.tokens import PlainTokens, as_

PERSONAL = ("Maija", "0401234567", "maija@example.com", "Mannerheimintie")
KEYS = Keys(
    KeyFile(
        digest_key=secrets.token_hex(64),
        master_key=secrets.token_hex(32),
        index_key=secrets.token_hex(32),
        id_keys={f"company.{company}": secrets.token_hex(32) for company in ("kauppa", "sahko")},
    )
)


Desk = Annotated[Caller, Depends(RoleCheck("desk"))]


def routes(pool: postgres.Pool) -> APIRouter:
    router = APIRouter(prefix="/people")

    @router.get("/{ident}")
    async def read(ident: str, _: Desk, phone: str = "") -> dict[str, str]:
        return {"ident": ident, "phone": phone}

    @router.post("", status_code=201)
    async def create(
        given: Annotated[dict[str, Any], Body()],
        _: Desk,
        claim: Annotated[IdempotencyKey | None, Depends(idempotency_key)],
    ) -> Response:
        async with postgres.transaction(pool) as conn:
            await conn.execute(
                "INSERT INTO voided VALUES ($1, 0, 0) ON CONFLICT DO NOTHING", UUID(given["id"])
            )
            audit_entry.about(UUID(given["id"]))
            if claim:
                await claim.keep(conn, 201, b"{}")
            if given.get("fails"):
                raise ProblemError(422, "invalid-request", "No", errors=[
                    FieldRule("points.0.value", "must be a number"), FieldRule("Maija 0401234567", "must not be"),
                ])  # fmt: skip
        return Response(b"{}", 201, media_type="application/json")

    @router.delete("/{ident}")
    async def foreign(ident: UUID, _: Desk) -> None:
        raise ProblemError(403, "foreign-company", "No", str(ident))

    @router.post("/breaks")
    async def breaks(_: Desk) -> None:
        raise RuntimeError("Maija")

    return router


@pytest.fixture
async def http(service: Bench) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        "people",
        [routes(service.pool)],
        pool=service.pool,
        verifier=PlainTokens("staff-{token}"),
        health=Health(claimed=True),
        keys=KEYS,
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def trail(service: Bench) -> list[dict[str, Any]]:
    return [dict(row) for row in await service.pool.fetch("SELECT * FROM audit_trail ORDER BY id")]


async def test_every_kind_of_request_leaves_one_entry(service: Bench, http: httpx.AsyncClient) -> None:
    who = uuid4()
    told = as_("desk", **{"X-Reason": "ticket:4711"})
    assert (await http.get(f"/people/{who}?phone=0401234567", headers=told)).is_success
    await http.post(
        "/people", json={"id": str(who), "name": "Maija", "mail": "maija@example.com"}, headers=as_("desk")
    )
    await http.post("/people", json={"id": str(uuid4()), "fails": True}, headers=as_("desk"))
    await http.delete(f"/people/{who}", headers=as_("desk"))
    await http.get(f"/people/{who}", headers=as_("clerk"))
    await http.post("/people/breaks", headers=as_("desk"))
    await http.post("/people", json=["Mannerheimintie"], headers=as_("desk"))
    found = [(e["action"], e["subjects"], e["outcome"], e["rule"], e["why"]) for e in await trail(service)]
    assert found == [
        ("GET /people/{ident}", [who], "ok", None, "ticket:4711"),
        ("POST /people", [who], "ok", None, None),
        ("POST /people", found[2][1], "refused", "invalid-request: points.0.value", None),
        ("DELETE /people/{ident}", [who], "refused", "foreign-company", None),
        ("GET /people/{ident}", [who], "refused", "missing-role", None),
        ("POST /people/breaks", [], "failed", "500", None),
        ("POST /people", [], "refused", found[6][3], None),
    ]
    everything = str(await trail(service))
    assert not [text for text in PERSONAL if text in everything]
    assert {e["actor"] for e in await trail(service)} == {"staff-desk", "staff-clerk"}


async def test_nobody_identified_leaves_none_and_a_reason_is_no_free_text(
    service: Bench, http: httpx.AsyncClient
) -> None:
    for headers in ({}, as_("bad"), as_("desk", **{"X-Reason": "called by Maija, 0401234567"})):
        assert (await http.get(f"/people/{uuid4()}", headers=headers)).status_code in (401, 422)
    assert (await http.get("/livez")).is_success
    assert await trail(service) == []


async def test_a_change_and_its_entry_are_committed_together_or_not_at_all(
    service: Bench, http: httpx.AsyncClient
) -> None:
    first, second = uuid4(), uuid4()
    headers = as_("desk", **{"Idempotency-Key": "k"})
    for _ in range(2):
        assert (await http.post("/people", json={"id": str(first)}, headers=headers)).status_code == 201
    assert [e["outcome"] for e in await trail(service)] == ["ok", "repeated"]
    await service.pool.execute("ALTER TABLE audit_trail ADD CHECK (actor <> 'staff-desk') NOT VALID")
    answer = await http.post("/people", json={"id": str(second)}, headers=as_("desk"))
    assert answer.status_code == 500
    assert {row["topic_id"] for row in await service.pool.fetch("SELECT topic_id FROM voided")} == {first}


async def test_what_cannot_be_written_down_is_not_answered(
    service: Bench, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> bool:
        raise TimeoutError

    monkeypatch.setattr(audit_entry.AuditEntry, "write", away)
    answer = await http.get("/people/secret", headers=as_("desk"))
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:kielto:problem:audit-unavailable")
    assert "secret" not in answer.text.replace("/people/secret", "")


async def test_who_takes_more_than_its_share_is_told_so(service: Bench) -> None:
    """The entry of what was refused needs a turn, too: without one the refusal goes out all the same, and nothing that
    was read.
    """
    limits = Limits(party_requests=1, party_waiting=1, pool_connections=2)
    pool: Any = await postgres.open_pool(service.dsn, name="test", limits=limits)
    app = create_app(
        "people",
        [routes(pool)],
        pool=pool,
        verifier=PlainTokens("staff-{token}"),
        health=Health(claimed=True),
        limits=limits,
        keys=KEYS,
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
        pool.shares.turn("kauppa"),
    ):
        waiting = asyncio.create_task(pool.shares.take("kauppa"))
        await asyncio.sleep(0)
        answers = [
            await client.get("/people/secret", headers=as_("desk@kauppa")),
            await client.post("/people", json={"id": str(uuid4())}, headers=as_("desk@kauppa")),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["type"]) == (
                429,
                "urn:kielto:problem:too-many-requests",
            )
            assert int(answer.headers["retry-after"]) >= 1
        assert "secret" not in answers[0].text.replace("/people/secret", "")
        assert (await client.get("/people/x", headers=as_("desk@sahko"))).status_code == 200
    await waiting
    pool.terminate()
    assert [e["company"] for e in await trail(service)] == ["sahko"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_trail SET actor = 'nobody'",
        "DELETE FROM audit_trail",
        "TRUNCATE audit_trail",
        "DELETE FROM audit_trail WHERE at < now()",
        "WITH gone AS (DELETE FROM audit_trail RETURNING 1) SELECT count(*) FROM gone",
    ],
)
async def test_it_is_append_only(service: Bench, http: httpx.AsyncClient, statement: str) -> None:
    await http.get(f"/people/{uuid4()}", headers=as_("desk"))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.pool.execute(statement)
    await api.forget_old(service.pool, 730)
    assert len(await trail(service)) == 1


async def test_after_its_time_an_entry_goes(service: Bench) -> None:
    for days in (800, 500, 1):
        await service.pool.execute(
            "INSERT INTO audit_trail (at, actor, roles, action, outcome)"
            " VALUES (now() - make_interval(days => $1), 'a', '{}', 'x', 'ok')",
            days,
        )
    await api.forget_old(service.pool, 730)
    assert len(await trail(service)) == 2


async def test_an_officer_asks_and_asking_leaves_an_entry(service: Bench, http: httpx.AsyncClient) -> None:
    who, other = uuid4(), uuid4()
    for ident in (who, other, who):
        await http.get(f"/people/{ident}", headers=as_("desk"))
    await http.get(f"/people/{who}", headers=as_("clerk"))

    async def ask(query: str, token: str = "dpo") -> Any:
        answer = await http.get(f"/people/audit?{query}", headers=as_(token))
        assert answer.is_success, answer.text
        return answer.json()["items"]

    assert len(await ask(f"subject={who}")) == 3
    assert len(await ask(f"subject={who}&actor=staff-clerk")) == 1
    assert len(await ask("action=GET%20/people/%7Bident%7D")) == 4
    assert await ask("from=2100-01-01T00:00:00Z") == []
    assert len(await ask("to=2100-01-01T00:00:00Z")) == 8
    pages, cursor = [], ""
    while True:
        answer = (await http.get(f"/people/audit?limit=3&subject={who}{cursor}", headers=as_("dpo"))).json()
        pages += answer["items"]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert len(pages) == 3
    assert "GET /people/audit" in {e["action"] for e in await ask("")}
    assert (await http.get("/people/audit", headers=as_("desk"))).status_code == 403
    for no_time in ("2026-01-01T00:00:00", "20261130", "2026-11-30", "1e9"):
        for end in ("from", "to"):
            answer = await http.get(f"/people/audit?{end}={no_time}", headers=as_("dpo"))
            assert answer.status_code == 422, (end, no_time)


async def test_a_companys_officer_sees_its_own_companys_entries_under_its_own_ids(
    service: Bench, http: httpx.AsyncClient
) -> None:
    who = uuid4()
    theirs = {company: KEYS.pairwise(f"company.{company}", who) for company in ("kauppa", "sahko")}
    for company, ident in theirs.items():
        await http.get(f"/people/{ident}", headers=as_(f"desk@{company}"))
    await http.get(f"/people/{theirs['sahko']}", headers=as_("desk@kauppa"))  # no id of its own
    await http.get(f"/people/{who}", headers=as_("desk"))
    kauppa = (await http.get("/people/audit", headers=as_("dpo@kauppa"))).json()["items"]
    assert {e["company"] for e in kauppa} == {"kauppa"}
    assert [e["subjects"] for e in kauppa] == [[], [theirs["kauppa"]]]
    assert {e["trace"] for e in kauppa} == {None}
    found = (await http.get(f"/people/audit?subject={theirs['kauppa']}", headers=as_("dpo@kauppa"))).json()
    assert len(found["items"]) == 1
    for subject in (theirs["sahko"], str(who), "x"):
        answer = await http.get(f"/people/audit?subject={subject}", headers=as_("dpo@kauppa"))
        assert answer.json() == {"items": [], "next": None}
    assert (await http.get("/people/audit?company=sahko", headers=as_("dpo@kauppa"))).status_code == 403
    everyone = (await http.get(f"/people/audit?subject={who}", headers=as_("dpo"))).json()["items"]
    assert {e["company"] for e in everyone} == {None, "kauppa", "sahko"}


async def test_where_a_page_ends_counts_nobody_elses_entries(service: Bench, http: httpx.AsyncClient) -> None:
    async def page(token: str, cursor: str = "") -> httpx.Response:
        return await http.get(f"/people/audit?limit=1{cursor}", headers=as_(token))

    ends = {}
    for token in ("dpo@kauppa", "dpo@sahko", "dpo"):
        await page(token)
        ends[token] = (await page(token)).json()["next"]
        assert not ends[token].isdigit()
    for token, end in ends.items():
        assert (await page(token, f"&cursor={end}")).is_success
        others = [e for other, e in ends.items() if other != token]
        for foreign in (*others, "3", "x", end[:-8] + "AAAAAAA="):
            answer = await page(token, f"&cursor={foreign}")
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "cursor")


async def test_a_command_leaves_an_entry_of_the_operator(
    service: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    who = uuid4()

    async def erase(words: Any) -> int:
        async with postgres.transaction(service.pool) as conn:
            await conn.execute("INSERT INTO voided VALUES ($1, 0, 0)", UUID(words[0]))
        return 0

    async def fails(_: Any) -> int:
        return 1

    monkeypatch.setenv("KIELTO_OPERATOR", "liisa")
    verbs = dict.fromkeys(("seals verify", "seals erase"), fails)
    made = Service(families=(), commands={"erase": erase, "merge": fails, **verbs})
    for words in (
        ["erase", str(who)],
        ["merge", "Maija", "0401234567"],
        ["epoch"],
        ["seals", "verify", "--jwks", "keys.json"],
        ["seals", "erase", str(who), "as", "Maija", "asked"],
        ["nonsense"],
    ):
        await commands.run(words, service.pool, cast(Quarantine, None), made)
    found = [(e["actor"], e["action"], e["subjects"], e["outcome"]) for e in await trail(service)]
    assert found[:2] == [
        ("operator:liisa", "command erase", [who], "ok"),
        ("operator:liisa", "command merge", [], "refused"),
    ]
    assert [e[1] for e in found[2:]] == [
        "command epoch",
        "command seals verify",
        "command seals erase",
        "command",
    ]
    assert not [text for text in PERSONAL if text in str(found)]
    capsys.readouterr()
