"""What a company can find out about another one's customers, by whatever it sends: nothing, not by a word, a status, a
version, nor by what the database is asked.
"""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from asyncpg.connection import LoggedQuery
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kielto.service.database import pool as postgres
from kielto.service.database.pool import Conn, Pool, transaction
from services.customers.metrics import REFUSED_IDENTIFIERS
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.guesses import Guesses
from tests.integration.customers.conftest import CustomersRegister
from tests.integration.customers.test_api import NDJSON, http, own_path
from tests.integration.customers.test_register import CODE
from tests.tokens import as_

__all__ = ["http"]
SAHKO = as_("register@sahko")
KAUPPA = as_("register@kauppa")
EVA: dict[str, Any] = {
    "name": "Eva Ek",
    "language": "sv",
    "identity_code": CODE,
    "business_id": "2077474-0",
    "points": [
        {"kind": "email", "value": "eva@example.com"},
        {"kind": "phone", "value": "040 555 0002"},
        {"kind": "post", "address": {"street": "Katu 1", "postal_code": "00100", "city": "Helsinki"}},
    ],
}
GUESSES: list[dict[str, Any]] = [
    {"identity_code": CODE},
    {"identity_code": CODE, "recipient": "contact"},
    {"identity_code": CODE, "recipient": "legal"},
    {"business_id": "2077474-0", "name": "Eva Ek"},
    {"business_id": "2077474-0", "birth_date": "2001-01-01"},
    {"points": EVA["points"]},
    {"name": "Eva Ek", "points": EVA["points"][1:2], "deceased": True, "safety_ban": True},
    {"identity_code": CODE, "organisation": {"company": "sahko", "number": "77"}, "recipient": "contact"},
]


def _shape(text: str) -> str:
    """An answer without ids, which are new ones each time, times, and the numbers that were sent."""
    text = re.sub(r"[0-9a-f]{64}|\d{4}-\d\d-\d\dT[0-9:+]+", "…", text)
    return re.sub(r'"seconds":[0-9.e-]+', "", re.sub(r"G\d+", "G", text))


async def _ask(client: httpx.AsyncClient, guess: dict[str, Any], turn: int) -> list[tuple[int, str]]:
    """What sahko is told of a guess, by every way in."""
    number = {"company": "sahko", "number": f"G{turn}1"}
    created = await client.post("/customers", json=guess | {"customerships": [number]}, headers=SAHKO)
    row = json.dumps(guess | {"number": f"G{turn}2"})
    imported = await client.post("/customers/imports?company=sahko", content=row, headers=SAHKO | NDJSON)
    answers = [created, imported]
    if created.is_success:
        path = created.headers["location"]
        answers.append(await client.get(path, headers=SAHKO))
        tag = {"If-Match": answers[-1].headers["etag"]}
        answers.append(await client.patch(path, json=guess | {"language": "fi"}, headers=SAHKO | tag))
    return [(a.status_code, _shape(a.text)) for a in answers]


@pytest.mark.parametrize("guess", GUESSES)
async def test_known_and_unknown_are_answered_alike(
    http: httpx.AsyncClient, context: CustomersContext, monkeypatch: pytest.MonkeyPatch, guess: dict[str, Any]
) -> None:
    """Same status, same body, same statements in the same order."""
    asked: list[str] = []

    def note(query: LoggedQuery) -> None:
        if "typeinfo" not in query.query and "jit" not in query.query:  # the driver's own, once a connection
            asked.append(query.query)

    @asynccontextmanager
    async def logged(pool: Pool) -> AsyncIterator[Conn]:
        async with transaction(pool) as conn:
            with conn.query_logger(note):
                yield conn

    monkeypatch.setattr(postgres, "transaction", logged)
    unknown, before = await _ask(http, guess, 1), asked.copy()
    await context.pool.execute("TRUNCATE customers, link_keys, links, records, marks CASCADE")
    eva = EVA | {"customerships": [{"company": "kauppa", "number": "1"}]}
    kept = await http.post("/customers", json=eva, headers=KAUPPA)
    assert kept.status_code == 201
    asked.clear()
    assert await _ask(http, guess, 2) == unknown
    assert asked == before


async def test_a_guess_shows_nothing_and_changes_nothing(
    http: httpx.AsyncClient, context: CustomersContext, people: CustomersRegister
) -> None:
    eva = EVA | {"customerships": [{"company": "kauppa", "number": "1"}]}
    path = (await http.post("/customers", json=eva, headers=KAUPPA)).headers["location"]
    read = await http.get(path, headers=KAUPPA)
    published = await people.published("company.kauppa.customers")
    for turn, guess in enumerate(GUESSES):
        await _ask(http, guess, 10 + turn)
    again = await http.get(path, headers=KAUPPA)
    assert (again.json(), again.headers["etag"]) == (read.json(), read.headers["etag"])
    assert await people.published("company.kauppa.customers") == published, "also the versions"
    seen = json.dumps(await people.published("company.sahko.customers"))
    theirs = [_shape(text) for guess in GUESSES[:2] for _, text in await _ask(http, guess, 30)]
    assert not any("Eva" in text or "eva@" in text for text in theirs)
    assert "1980" not in seen


async def test_a_company_changes_its_own_word_only(
    http: httpx.AsyncClient, context: CustomersContext
) -> None:
    """The two are one customer: the group said so. What sahko says then, kauppa does not see."""
    first = EVA | {"safety_ban": True, "customerships": [{"company": "kauppa", "number": "1"}]}
    kauppas = (await http.post("/customers", json=first, headers=KAUPPA)).headers["location"]
    row = {"number": "7", "name": "Ewa", "same_as": {"company": "kauppa", "number": "1"}}
    joined = await http.post("/customers/imports?company=sahko", content=json.dumps(row), headers=NDJSON)
    ident = json.loads(joined.text.splitlines()[0])["id"]
    path = own_path(context, "sahko", f"/{ident}")
    before = await http.get(kauppas, headers=KAUPPA)
    shown = await http.get(path, headers=SAHKO)
    assert {k: v for k, v in shown.json().items() if v and k not in ("id", "sources", "customerships")} == {
        "recipient": "natural", "name": "Ewa",
    }  # fmt: skip
    changes: list[dict[str, Any]] = [
        {"safety_ban": False},
        {"deceased": False, "name": "X"},
        {"recipient": "legal", "points": [EVA["points"][0] | {"role_address": True}]},
        {"points": [], "recipient": "natural"},
        {"deceased": True},
        {"deceased": False},
    ]
    for change in changes:
        tag = (await http.get(path, headers=SAHKO)).headers["etag"]
        changed = await http.patch(path, json=change, headers=SAHKO | {"If-Match": tag})
        assert changed.status_code == 200, changed.text
        now = await http.get(kauppas, headers=KAUPPA)
        assert (now.json(), now.headers["etag"]) == (before.json(), before.headers["etag"])
    group = (await http.get(f"/customers/{ident}")).json()
    assert (group["safety_ban"], group["deceased"]) == (True, False)
    tag = (await http.get(f"/customers/{ident}")).headers["etag"]
    bare = await http.patch(f"/customers/{ident}", json={"safety_ban": False}, headers={"If-Match": tag})
    assert [e["field"] for e in bare.json()["errors"]] == ["reason"]
    freed = await http.patch(
        f"/customers/{ident}",
        json={"safety_ban": False, "reason": "lifted by the authority"},
        headers={"If-Match": tag},
    )
    assert freed.json()["safety_ban"] is False
    (kept,) = [s["taken_back"] for s in freed.json()["statements"] if s["source"] == "group"]
    assert [(t["field"], t["stated_by"]) for t in kept] == [("safety_ban", ["kauppa"])]
    stolen = await http.patch(
        path,
        json={"reason": "x"},
        headers=SAHKO | {"If-Match": (await http.get(path, headers=SAHKO)).headers["etag"]},
    )
    assert [e["field"] for e in stolen.json()["errors"]] == ["reason"]


async def test_a_change_that_names_every_field_at_null_is_what_clears(http: httpx.AsyncClient) -> None:
    dead = EVA | {"deceased": True, "customerships": [{"company": "kauppa", "number": "1"}]}
    path = (await http.post("/customers", json=dead, headers=KAUPPA)).headers["location"]
    tag = (await http.get(path, headers=KAUPPA)).headers["etag"]
    changed = await http.patch(path, json={"language": "fi"}, headers=KAUPPA | {"If-Match": tag})
    assert changed.json()["deceased"] is True
    assert changed.json()["name"] == "Eva Ek"


async def test_candidates_are_the_groups(http: httpx.AsyncClient) -> None:
    ids = []
    for caller, company in ((KAUPPA, "kauppa"), (SAHKO, "sahko")):
        body = EVA | {"customerships": [{"company": company, "number": "1"}]}
        await http.post("/customers", json=body, headers=caller)
        found = await http.get("/customers", params={"company": company, "number": "1"})
        ids.append(found.json()["items"][0]["id"])
    one, other = sorted(ids)
    apart = f"/customers/candidates/{one}/{other}/apart"
    for path in ("/customers/candidates", "/customers/candidates/contradictions"):
        for caller in (KAUPPA, as_("desk"), as_("operator")):
            assert (await http.get(path, headers=caller)).status_code == 403
    assert (await http.post(apart, json={"reason": "x"}, headers=KAUPPA)).status_code == 403
    page = (await http.get("/customers/candidates")).json()
    assert page == {
        "items": [{"one": one, "other": other, "reason": "identifier", "bound": True}], "next": None,
    }  # fmt: skip
    assert (await http.post(apart, json={"reason": "twins"})).status_code == 204
    assert (await http.get("/customers/candidates")).json()["items"] == []


async def test_refused_identifiers_are_counted_and_limited(
    context: CustomersContext, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    guesses: Guesses = context.guesses
    monkeypatch.setattr(guesses, "most", 3)
    counted = REFUSED_IDENTIFIERS.labels("sahko")
    before = counted._value.get()
    rows = [{"number": f"1{i}", "identity_code": CODE, "recipient": "legal"} for i in range(5)]
    content = b"\n".join(json.dumps(row).encode() for row in rows)
    answer = await http.post("/customers/imports?company=sahko", content=content, headers=SAHKO | NDJSON)
    lines = [json.loads(line) for line in answer.text.splitlines()[:5]]
    assert [line["status"] for line in lines] == ["refused"] * 5
    assert counted._value.get() == before + 5
    number = {"company": "sahko", "number": "2"}
    limited = await http.post(
        "/customers", json={"identity_code": CODE, "customerships": [number]}, headers=SAHKO
    )
    assert (limited.status_code, "retry-after" in limited.headers) == (429, True)
    plain = await http.post("/customers", json={"name": "B", "customerships": [number]}, headers=SAHKO)
    assert plain.status_code == 201, "rows without identifiers go on"
    content = b'{"number":"3","deceased":true}\n{"number":"4","identity_code":"%s"}' % CODE.encode()
    again = await http.post("/customers/imports?company=sahko", content=content, headers=SAHKO | NDJSON)
    lines = [json.loads(line) for line in again.text.splitlines()[:2]]
    assert [line["status"] for line in lines] == ["created", "refused"], "a death waits for no identifier"
    assert [e["field"] for e in lines[1]["errors"]] == ["row"]
    other = {"identity_code": CODE, "customerships": [{"company": "kauppa", "number": "2"}]}
    assert (await http.post("/customers", json=other, headers=KAUPPA)).status_code == 201


_GUESS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["Eva Ek", "Adam Ek"]),
        "identity_code": st.just(CODE),
        "business_id": st.just("2077474-0"),
        "recipient": st.sampled_from(["natural", "legal", "user"]),
        "points": st.lists(st.sampled_from(EVA["points"]), max_size=3, unique_by=str),
        "deceased": st.booleans(),
        "birth_date": st.sampled_from(["1952-10-13", "2015-01-01"]),
    },
)


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(_GUESS, min_size=1, max_size=3))
async def test_whatever_is_sent(
    http: httpx.AsyncClient,
    context: CustomersContext,
    people: CustomersRegister,
    guesses: list[dict[str, Any]],
) -> None:
    told = []
    for known in (False, True):
        await context.pool.execute("TRUNCATE customers, link_keys, links, records, marks CASCADE")
        if known:
            eva = EVA | {"customerships": [{"company": "kauppa", "number": "1"}]}
            assert (await http.post("/customers", json=eva, headers=KAUPPA)).status_code == 201
        before = await people.published("company.kauppa.customers")
        told.append([await _ask(http, guess, turn) for turn, guess in enumerate(guesses)])
        assert await people.published("company.kauppa.customers") == before
    assert told[0] == told[1]
