"""The register over HTTP: what is answered, to whom, and what is refused without changing anything."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from kielto.service.database import audit_entry
from kielto.service.process.application import Health, create_app
from kielto.service.support.shares import CrowdedError
from services.customers.api import candidates, customers, imports
from services.customers.use_cases.context import CustomersContext
from tests.tokens import PlainTokens, as_

AINO: dict[str, Any] = {
    "name": "Aino Esimerkki",
    "birth_date": "1980-05-17",
    "identity_code": "170580-308K",
    "points": [
        {"kind": "email", "value": "aino@example.com"},
        {"kind": "post", "address": {"street": "Katu 1", "postal_code": "00100", "city": "Helsinki"}},
    ],
    "customerships": [{"company": "kauppa", "number": "1001", "since": "2026-01-01"}],
}
NDJSON = {"content-type": "application/x-ndjson"}


@pytest.fixture
async def http(context: CustomersContext) -> AsyncIterator[httpx.AsyncClient]:
    """By default a writer for the whole group."""
    app = create_app(
        "customers",
        [part.router(context) for part in (imports, candidates, customers)],
        pool=context.pool,
        verifier=PlainTokens(),
        health=Health(claimed=True),
        streamed=[imports.PATH],
    )
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": "Bearer register"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


def problem(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).removeprefix("urn:kielto:problem:")


def own_path(context: CustomersContext, company: str, path: str) -> str:
    """A customer's path as one company knows it."""
    return f"/customers/{context.keys.pairwise(f'company.{company}', UUID(path.rpartition('/')[2]))}"


def fields(answer: httpx.Response) -> list[str]:
    assert problem(answer) == "invalid-request"
    return [e["field"] for e in answer.json()["errors"]]


async def test_create_read_find_change_and_end(http: httpx.AsyncClient) -> None:
    created = await http.post("/customers", json=AINO)
    assert created.status_code == 201, created.text
    path = created.headers["location"]
    assert created.json().keys() == {"id", "status", "revision"}

    read = await http.get(path)
    assert read.headers["etag"] == created.headers["etag"] == '"1"'
    body = read.json()
    assert body["name"] == "Aino Esimerkki"
    assert body["identity_code_known"] is True
    assert "170580" not in read.text
    assert body["points"][1]["address"] == {
        "street": "Katu 1", "postal_code": "00100", "city": "HELSINKI", "country": "FI",
    }  # fmt: skip
    found = await http.get("/customers", params={"company": "kauppa", "number": " 1001"})
    assert [c["id"] for c in found.json()["items"]] == [body["id"]]

    changed = await http.patch(path, json={"name": None, "language": "fi"}, headers={"If-Match": '"1"'})
    assert (changed.json()["name"], changed.json()["language"]) == (None, "fi")
    assert changed.headers["etag"] == '"2"'

    ended = await http.post(f"{path}/customerships/kauppa/end", json={"ended": "2026-05-01"})
    assert ended.json()["customerships"][0]["ended"] == "2026-05-01"
    again = await http.post(f"{path}/customerships/kauppa/end")
    assert again.json() == ended.json()


async def test_merge(http: httpx.AsyncClient, context: CustomersContext) -> None:
    number = {"company": "sahko", "number": "7"}
    duplicate = (await http.post("/customers", json={"customerships": [number]})).json()["id"]
    survivor = (await http.post("/customers", json=AINO)).json()["id"]
    path, into = f"/customers/{duplicate}/merge", {"into": survivor}
    for role in ("desk", "register@kauppa"):
        assert (await http.post(path, json=into, headers=as_(role))).status_code == 403
    for _ in range(2):
        merged = await http.post(path, json=into)
        assert (merged.status_code, merged.json()["id"], merged.headers["etag"]) == (200, survivor, '"2"')
        assert [c["company"] for c in merged.json()["customerships"]] == ["kauppa", "sahko"]
    own = [context.keys.pairwise("company.sahko", UUID(x)) for x in (duplicate, survivor)]
    read = await http.get(f"/customers/{own[0]}", headers=as_("desk@sahko"))
    assert {k: v for k, v in read.json().items() if v} == {"id": own[0], "alias_of": own[1]}
    assert (await http.get(f"/customers/{survivor}")).json()["alias_of"] is None
    found = await http.get("/customers", params=number)
    assert [c["id"] for c in found.json()["items"]] == [survivor]
    changed = await http.patch(f"/customers/{duplicate}", json={"name": "B"}, headers={"If-Match": '"2"'})
    assert fields(changed) == ["customer"]
    ended = await http.post(f"/customers/{duplicate}/customerships/sahko/end")
    assert ended.json()["id"] == survivor
    assert fields(await http.post(path, json={"into": duplicate})) == ["into"]
    assert fields(await http.post(path, json={"into": str(uuid4())})) == ["into"]
    unknown = await http.post(f"/customers/{uuid4()}/merge", json=into)
    assert (unknown.status_code, problem(unknown)) == (404, "unknown-customer")


async def test_a_change_without_or_on_an_old_revision_is_refused(http: httpx.AsyncClient) -> None:
    path = (await http.post("/customers", json=AINO)).headers["location"]
    missing = await http.patch(path, json={"name": "B"})
    assert (missing.status_code, problem(missing)) == (428, "if-match-missing")
    for tag in ('"2"', "1", 'W/"1"', '"2", "3"', 'W/"1", "2"'):
        stale = await http.patch(path, json={"name": "B"}, headers={"If-Match": tag})
        assert (stale.status_code, problem(stale)) == (412, "stale")
    assert (await http.get(path)).json()["name"] == "Aino Esimerkki"


async def test_a_change_upon_one_of_several_revisions_or_upon_any(http: httpx.AsyncClient) -> None:
    path = (await http.post("/customers", json=AINO)).headers["location"]
    for name, tags in (("B", '"1", "999"'), ("C", '"999","2"'), ("D", "*")):
        changed = await http.patch(path, json={"name": name}, headers={"If-Match": tags})
        assert (changed.status_code, changed.json()["name"]) == (200, name)
    nobody = await http.patch(f"/customers/{uuid4()}", json={"name": "B"}, headers={"If-Match": "*"})
    assert (nobody.status_code, problem(nobody)) == (404, "unknown-customer")


async def test_a_taken_number_is_a_conflict_and_the_same_request_again_its_answer(
    http: httpx.AsyncClient, context: CustomersContext
) -> None:
    key = {"Idempotency-Key": "first"}
    first = await http.post("/customers", json=AINO, headers=key)
    again = await http.post("/customers", json=AINO, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    other = await http.post("/customers", json=AINO, headers={"Idempotency-Key": "second"})
    assert (other.status_code, problem(other)) == (409, "customer-exists")
    nameless = {"name": "Nobody"}
    for _ in range(2):
        assert (
            await http.post("/customers", json=nameless, headers={"Idempotency-Key": "3"})
        ).status_code == 201
    assert await context.pool.fetchval("SELECT count(*) FROM customers") == 2
    kept = await context.pool.fetch("SELECT body FROM idempotency")
    assert not any(b"Aino" in row["body"] for row in kept)


async def test_a_known_identity_code_is_one_person_of_its_source_alone(http: httpx.AsyncClient) -> None:
    def guess(number: str) -> dict[str, Any]:
        return {
            "identity_code": "170580-308K",
            "customerships": [{"company": "sahko", "number": number}],
        }

    await http.post("/customers", json=AINO)
    sahko = as_("register@sahko")
    first = await http.post("/customers", json=guess("7"), headers=sahko)
    assert first.status_code == 201
    read = await http.get(first.headers["location"], headers=sahko)
    assert {k for k, v in read.json().items() if v} == {
        "id", "recipient", "identity_code_known", "birth_date", "customerships", "sources",
    }  # fmt: skip
    second = await http.post("/customers", json=guess("8"), headers=sahko)
    assert (second.status_code, second.json()["id"]) == (200, first.json()["id"])


async def test_a_company_sees_and_touches_its_own(http: httpx.AsyncClient, context: CustomersContext) -> None:
    path = (await http.post("/customers", json=AINO)).headers["location"]
    sale = {"seller": "sahko", "date": "2026-01-01", "product_group": "solar"}
    both = {
        "points": [{"kind": "email", "value": "aino@example.com", "sales": [sale]}],
        "customerships": [{"company": "sahko", "number": "7"}],
    }
    await http.patch(path, json=both, headers={"If-Match": '"1"'})
    paths = {c: own_path(context, c, path) for c in ("kauppa", "sahko")}
    own = (await http.get(paths["kauppa"], headers=as_("desk@kauppa"))).json()
    assert [c["company"] for c in own["customerships"]] == ["kauppa"]
    assert own["points"][0]["sales"] == []
    theirs = (await http.get(paths["sahko"], headers=as_("operator@sahko"))).json()
    assert [c["company"] for c in theirs["customerships"]] == ["sahko"]
    assert not {own["id"], *(p["id"] for p in own["points"])} & {
        theirs["id"], *(p["id"] for p in theirs["points"]), path.rpartition("/")[2],
    }  # fmt: skip

    await http.post(f"{paths['sahko']}/customerships/sahko/end", headers=as_("register@sahko"))
    former = await http.get(paths["sahko"], headers=as_("desk@sahko"))
    assert {k for k, v in former.json().items() if v} == {"id", "customerships"}
    late = await http.patch(
        paths["sahko"],
        json={"name": "B"},
        headers=as_("register@sahko") | {"If-Match": former.headers["etag"]},
    )
    assert fields(late) == ["name"]


async def test_a_foreign_company_learns_nothing(http: httpx.AsyncClient, context: CustomersContext) -> None:
    path = (await http.post("/customers", json=AINO)).headers["location"]
    foreign = as_("register@sahko")
    kauppas = own_path(context, "kauppa", path)
    sahkos = own_path(context, "sahko", path)  # what sahko could not know, had it the group's keys
    nobodys = [f"/customers/{x}" for x in (uuid4(), "0" * 64, secrets.token_hex(32), "x")]
    bodies = set()
    for unknown in (path, kauppas, sahkos, own_path(context, "sahko", f"/{uuid4()}"), *nobodys):
        for answer in (
            await http.get(unknown, headers=foreign),
            await http.patch(unknown, json={"name": "B"}, headers=foreign | {"If-Match": '"1"'}),
            await http.post(f"{unknown}/customerships/sahko/end", headers=foreign),
        ):
            assert (answer.status_code, problem(answer)) == (404, "unknown-customer")
            bodies.add(answer.text.replace(unknown, ""))
    assert len(bodies) == 2, "the same for all, but for the path that was asked"
    for answer in (
        await http.get("/customers", params={"company": "kauppa", "number": "1001"}, headers=foreign),
        await http.post(f"{path}/customerships/kauppa/end", headers=foreign),
        await http.post("/customers/imports?company=kauppa", content=b"", headers=foreign | NDJSON),
    ):
        assert (answer.status_code, problem(answer)) == (403, "foreign-company")
    stolen = await http.post("/customers", json=AINO | {"identity_code": None}, headers=foreign)
    assert fields(stolen) == ["customerships.0.company"]
    homeless = await http.post("/customers", json={"name": "B"}, headers=foreign)
    assert fields(homeless) == ["customerships"]


@pytest.mark.parametrize("role", ["desk", "operator", "campaigns"])
async def test_only_the_register_role_writes(http: httpx.AsyncClient, role: str) -> None:
    answers = [
        await http.post("/customers", json=AINO, headers=as_(role)),
        await http.patch(f"/customers/{uuid4()}", json={}, headers=as_(role) | {"If-Match": '"1"'}),
        await http.post(f"/customers/{uuid4()}/customerships/kauppa/end", headers=as_(role)),
        await http.post("/customers/imports?company=kauppa", content=b"", headers=as_(role) | NDJSON),
    ]
    assert [problem(a) for a in answers] == ["missing-role"] * 4
    read = await http.get(f"/customers/{uuid4()}", headers=as_(role))
    assert problem(read) == ("missing-role" if role == "campaigns" else "unknown-customer")


async def test_what_is_wrong_is_named_and_never_repeated(http: httpx.AsyncClient) -> None:
    secret = "very-secret-value"
    for body, names in [
        ({"name": secret * 100}, ["name"]),
        ({"points": [{"kind": "email", "value": secret}]}, ["points.0.value"]),
        ({"points": [{"kind": "telex", "value": secret}]}, ["points.0.kind"]),
        ({"customerships": [{"company": "nobody", "number": secret}]}, ["customerships.0.company"]),
        ({"recipient": "contact", "organisation": str(uuid4())}, ["organisation"]),
    ]:
        answer = await http.post("/customers", json=body)
        assert answer.status_code == 422
        assert [f.removeprefix("body.") for f in fields(answer)] == names
        assert secret not in answer.text


async def test_an_address_under_a_safety_ban_is_not_shown(http: httpx.AsyncClient) -> None:
    path = (await http.post("/customers", json=AINO | {"safety_ban": True})).headers["location"]
    answer = await http.get(path)
    assert "Katu" not in answer.text
    assert answer.json()["points"][1]["kind"] == "post"


async def test_an_import_reports_row_by_row(http: httpx.AsyncClient) -> None:
    rows = [{"number": "1", "name": "A"}, {"number": "2", "nmae": "B"}, {"number": "3"}]
    content = b"\n\n".join(json.dumps(row).encode() for row in rows) + b"\n" + b"x" * 70_000
    answer = await http.post("/customers/imports?company=kauppa", content=content, headers=NDJSON)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    first, second, third, fourth, last = (json.loads(line) for line in answer.text.splitlines())
    assert (first["row"], first["status"]) == (1, "created")
    assert second == {
        "row": 3, "status": "refused", "errors": [{"field": "nmae", "rule": "unknown field"}],
    }  # fmt: skip
    assert (third["row"], third["status"]) == (5, "created")
    assert (fourth["row"], fourth["status"]) == (6, "refused")
    assert last["summary"].items() >= {"rows": 4, "created": 2, "refused": 2}.items()
    read = await http.get(f"/customers/{first['id']}")
    assert read.json()["name"] == "A"


async def test_what_an_import_cannot_read_is_reported_kept_and_shown(http: httpx.AsyncClient) -> None:
    rows = [
        {"number": "1", "points": [{"kind": "phone", "value": "07911 123456"}]},
        {"number": "2", "points": [{"kind": "phone", "value": "0405550002 Eva"}]},
    ]
    content = b"\xef\xbb\xbf" + b"\n".join(json.dumps(row).encode() for row in rows)
    told = []
    for options in ("&dry_run=true", "", "&country=GB"):
        answer = await http.post(
            f"/customers/imports?company=kauppa{options}", content=content, headers=NDJSON
        )
        assert "Eva" not in answer.text
        told.append([json.loads(line) for line in answer.text.splitlines()])
    dry, real, british = told
    assert [(line["status"], line["warnings"][0]["field"]) for line in dry[:2]] == [
        ("created", "points.0.value")
    ] * 2
    assert "id" not in dry[0]
    assert [line["warnings"] for line in dry[:2]] == [line["warnings"] for line in real[:2]]
    assert [t[2]["summary"]["dry_run"] for t in told] == [True, False, False]
    assert [t[2]["summary"]["warnings"] for t in told] == [2, 2, 1]
    assert "warnings" not in british[0]
    ident = real[1]["id"]
    kept = await http.get(f"/customers/{ident}/unreadable")
    (item,) = kept.json()["items"]
    assert (item["kind"], item["source"], item["value"]) == ("phone", "kauppa", "0405550002 Eva")
    assert (await http.get(f"/customers/{real[0]['id']}/unreadable")).json() == {"items": []}
    own = as_("register@kauppa")
    again = await http.post("/customers/imports?company=kauppa", content=content, headers=own | NDJSON)
    named = json.loads(again.text.splitlines()[1])["id"]
    shown = await http.get(f"/customers/{named}/unreadable", headers=own)
    assert shown.json() == kept.json()
    for headers, name in ((own, ident), (as_("register@sahko"), named), (as_("register@sahko"), ident)):
        foreign = await http.get(f"/customers/{name}/unreadable", headers=headers)
        assert (foreign.status_code, problem(foreign)) == (404, "unknown-customer")
    for options in ("&country=Finland", "&dry_run=maybe"):
        wrong = await http.post(
            f"/customers/imports?company=kauppa{options}", content=content, headers=NDJSON
        )
        assert fields(wrong) == [options[1:].partition("=")[0]]


@pytest.mark.parametrize("fault", [asyncpg.ReadOnlySQLTransactionError, CrowdedError, TimeoutError])
async def test_an_import_ends_though_its_counts_cannot_be_noted(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    async def counted(*_: Any, **__: Any) -> None:
        raise fault

    monkeypatch.setattr(audit_entry, "counted", counted)
    async with asyncio.timeout(10):
        answer = await http.post(
            "/customers/imports?company=kauppa", content=b'{"number":"1"}', headers=NDJSON
        )
    assert "summary" in answer.text


async def test_an_import_must_name_a_company_and_its_form(http: httpx.AsyncClient) -> None:
    unknown = await http.post("/customers/imports?company=nobody", content=b"", headers=NDJSON)
    assert fields(unknown) == ["company"]
    other = await http.post("/customers/imports?company=kauppa", json=[])
    assert (other.status_code, problem(other)) == (415, "unsupported-media-type")


async def test_before_the_epoch_is_claimed_every_write_is_answered_503(
    http: httpx.AsyncClient, context: CustomersContext
) -> None:
    await context.pool.execute("DELETE FROM epoch")
    for answer in (
        await http.post("/customers", json=AINO),
        await http.post("/customers/imports?company=kauppa", content=b"{}", headers=NDJSON),
    ):
        assert (answer.status_code, problem(answer)) == (503, "epoch-not-claimed")
    assert await context.pool.fetchval("SELECT count(*) FROM customers") == 0
