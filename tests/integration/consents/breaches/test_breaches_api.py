"""An officer looks at breaches, page by page, and closes them."""

import httpx

from kielto.service.database.pool import Pool
from services.consents.use_cases import breaches
from services.consents.use_cases.context import Context
from tests.integration.consents.reported import ago, http, tell, who
from tests.integration.consents.test_api import problem
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.tokens import as_

__all__ = ["http", "who"]  # fixtures


async def test_an_officer_looks_at_a_case_and_closes_it(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone, http: httpx.AsyncClient
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    ident = await tell(context, who, ago(50), ago(49))
    everything, own, other = as_("dpo"), as_("dpo@kauppa"), as_("dpo@sahko")
    path = "/consents/breaches"

    shown = (await http.get(path, headers=everything)).json()["breaches"]
    assert [(b["id"], b["customer"], b["state"]) for b in shown] == [(str(ident), str(who.id), "open")]
    [mine] = (await http.get(path, headers=own)).json()["breaches"]
    assert mine["customer"] == world.key("company.kauppa", who)
    assert (await http.get(path, headers=other)).json()["breaches"] == []
    assert (await http.get(f"{path}/{ident}", headers=other)).status_code == 404

    why = {"state": "explained", "note": "a test call"}
    for company in (own, other):  # no company closes a case against itself
        refused = await http.post(f"{path}/{ident}/close", json=why, headers=company)
        assert (refused.status_code, refused.json()["type"]) == (403, "urn:kielto:problem:foreign-company")
    assert (await http.post(f"{path}/{ident}/close", json=why, headers=as_("operator"))).status_code == 403
    assert (
        await http.post(f"{path}/{ident}/close", json=why | {"note": ""}, headers=everything)
    ).status_code == 422
    done = await http.post(f"{path}/{ident}/close", json=why, headers=everything)
    assert (done.status_code, done.json()["state"], done.json()["note"]) == (200, "explained", "a test call")
    assert (await http.get(path, headers=everything, params={"state": "open"})).json()["breaches"] == []

    await tell(context, who, ago(50), ago(49), id=ident)
    await pool.execute("UPDATE deliveries SET found = NULL")
    await breaches.detect(context)
    assert (await http.get(f"{path}/{ident}", headers=everything)).json()["state"] == "explained"


async def test_cases_are_told_in_pages(
    world: ConsentsWorld, pool: Pool, context: Context, who: Someone, http: httpx.AsyncClient
) -> None:
    await world.decide(world.by_id(who), received_at=ago(100))
    idents = {await tell(context, who, ago(50), ago(49)) for _ in range(5)}
    order = sorted(idents, reverse=True)
    # Against the order of their ids, which tell two of the same time apart.
    for place, ident in enumerate(order):
        await pool.execute("UPDATE breaches SET opened_at = $2 WHERE id = $1", ident, ago(10 - place // 2))
    order[:4] = [order[1], order[0], order[3], order[2]]
    path, everything = "/consents/breaches", as_("dpo")
    pages: list[list[str]] = []
    after: dict[str, str] = {}
    while len(pages) < 5:
        page = (await http.get(path, headers=everything, params={"limit": "2"} | after)).json()
        pages.append([b["id"] for b in page["breaches"]])
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert pages == [[str(i) for i in order[n : n + 2]] for n in (0, 2, 4)]
    assert (await http.get(path, headers=everything)).json()["next"] is None
    assert (await http.get(path, headers=as_("dpo@sahko"), params=after)).json()["breaches"] == []
    for wrong in ("x", world.context.keys.encrypt(bytes(24) + b"overdue.")):
        refused = await http.get(path, headers=everything, params={"after": wrong})
        assert problem(refused) == (422, "invalid-request", ["after"])
