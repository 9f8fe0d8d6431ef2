"""Who read, created, changed, merged or imported customers is noted by ids and counts; nothing personal is."""

import json
from typing import Any

import httpx

from services.customers.use_cases.context import CustomersContext
from tests.integration.customers.test_api import http
from tests.tokens import as_

__all__ = ["http"]
PERSON = {
    "name": "Maija Meikäläinen",
    "points": [{"kind": "phone", "value": "+358401234567"}, {"kind": "email", "value": "maija@example.com"}],
    "customerships": [{"company": "kauppa", "number": "A-4711"}],
}
PERSONAL = ("Maija", "401234567", "maija@", "4711")


async def trail(context: CustomersContext) -> list[dict[str, Any]]:
    return [dict(row) for row in await context.pool.fetch("SELECT * FROM audit_trail ORDER BY id")]


async def test_the_life_of_a_customer(http: httpx.AsyncClient, context: CustomersContext) -> None:
    ident = (await http.post("/customers", json=PERSON)).headers["Location"].rpartition("/")[2]
    await http.get("/customers", params={"company": "kauppa", "number": "A-4711"})
    tag = (await http.get(f"/customers/{ident}")).headers["ETag"]
    await http.patch(f"/customers/{ident}", json={"language": "sv"}, headers={"If-Match": tag})
    await http.post(f"/customers/{ident}/customerships/kauppa/end", json={})
    await http.get(
        "/customers", params={"company": "sahko", "number": "A-4711"}, headers=as_("register@kauppa")
    )
    rows = "\n".join(json.dumps({"number": n, "name": "Maija"}) for n in ("1", "2", ""))
    headers = {"Content-Type": "application/x-ndjson"}
    await http.post("/customers/imports?company=kauppa", content=rows, headers=headers)
    found = await trail(context)
    told = [(e["action"].partition(" ")[0], [str(s) for s in e["subjects"]], e["outcome"]) for e in found]
    assert told == [
        ("POST", [ident], "ok"),
        ("GET", [ident], "ok"),
        ("GET", [ident], "ok"),
        ("PATCH", [ident], "ok"),
        ("POST", [ident], "ok"),
        ("GET", [], "refused"),
        ("POST", [], "ok"),
        ("POST", [], "ok"),
    ]
    counts = json.loads(found[-1]["detail"])
    summary = {
        "rows": 3,
        "created": 2,
        "changed": 0,
        "unchanged": 0,
        "refused": 1,
        "warnings": 0,
        "dry_run": 0,
    }
    assert counts == summary
    assert not [text for text in PERSONAL if text in str(found)]
