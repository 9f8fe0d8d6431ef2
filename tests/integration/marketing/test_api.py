"""Campaigns over HTTP: what is answered, to whom, and what is refused without changing anything."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from deploy.local.paths import ROOT
from kielto import group
from kielto.service.database.pool import Pool
from kielto.service.process.application import Health, create_app
from kielto.service.support.crypto_keys import Keys
from services.marketing.api import campaigns
from services.marketing.use_cases.build_audience import address_next
from services.marketing.use_cases.context import MarketingContext
from tests.integration.marketing.world import NOW, OWN_POST, customer, know, permissions, person
from tests.tokens import PlainTokens

GROUP = group.load(ROOT / "group.yaml")
OWN = {
    "company": "kauppa",
    "name": "Spring",
    "purpose": "own_marketing",
    "channel": "post",
    "product_group": "groceries",
}
THEIRS = {
    "company": "kauppa",
    "name": "Journeys",
    "purpose": "partner_marketing",
    "channel": "post",
    "partner": "matkat",
    "mode": "partner_sends",
}


Call = Callable[..., Any]


@pytest.fixture
async def wake() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def http(pool: Pool, keys: Keys, wake: asyncio.Event) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        "marketing",
        [campaigns.router(MarketingContext(pool, keys, GROUP, lambda: NOW, wake))],
        pool=pool,
        verifier=PlainTokens(),
        health=Health(claimed=True),
    )
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": "Bearer campaigns@kauppa"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


def problem(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["type"]).removeprefix("urn:kielto:problem:")


async def campaigns_in(pool: Pool) -> int:
    return int(await pool.fetchval("SELECT count(*) FROM campaigns"))


async def whole_list(http: httpx.AsyncClient, path: str, headers: dict[str, str]) -> dict[str, bool]:
    """By customer whether they were recalled, read page by page."""
    found: dict[str, bool] = {}
    after: dict[str, str] = {}
    while True:
        page = (await http.get(path, params={"limit": "2"} | after, headers=headers)).json()
        found |= {item["customer"]: item["recalled"] for item in page["items"]}
        if page["next"] is None:
            return found
        after = {"after": page["next"]}


async def test_from_draft_to_close(
    http: httpx.AsyncClient, pool: Pool, keys: Keys, wake: asyncio.Event
) -> None:
    crowd = [person() for _ in range(3)]
    await know(pool, *(customer(keys, who) for who in crowd))
    await know(pool, *(permissions(who, 1, [OWN_POST]) for who in crowd))
    drafted = await http.post("/marketing/campaigns", json=OWN)
    assert drafted.status_code == 201
    place = drafted.headers["location"]
    assert place == f"/marketing/campaigns/{drafted.json()['id']}"
    assert drafted.json() | OWN == drafted.json()
    assert (await http.get(place)).json()["state"] == "open"

    for _ in range(2):
        launched = await http.post(f"{place}/launch")
        assert (launched.status_code, launched.json()["state"]) == (202, "launching")
    assert wake.is_set()
    while await address_next(pool, keys, NOW):
        pass
    await know(pool, permissions(crowd[0], 2))
    found = (await http.get(place)).json()
    assert (found["state"], found["addressed"], found["recalled"]) == ("launched", 3, 1)
    assert (found["seen"], found["candidates"]) == (3, 3)

    for token, party in (("campaigns@kauppa", "company.kauppa"), ("campaigns", None)):
        listed = await whole_list(http, f"{place}/recipients", {"Authorization": f"Bearer {token}"})
        named = {who: keys.pairwise(party, who.id) if party else str(who.id) for who in crowd}
        assert listed == {named[who]: who is crowd[0] for who in crowd}, "the group's ids are the group's"
    for behind in (crowd[0].id, keys.pairwise("company.liittyma", crowd[0].id), "0" * 64, "x"):
        refused = await http.get(f"{place}/recipients?after={behind}")
        assert (refused.status_code, problem(refused)) == (422, "invalid-request"), behind

    closed = await http.post(f"{place}/close")
    assert (closed.status_code, closed.json()["state"]) == (200, "closed")
    assert (await http.post(f"{place}/close")).json() == closed.json()
    refused = await http.post(f"{place}/launch")
    assert (refused.status_code, problem(refused)) == (409, "campaign-state")


async def test_disclosures_are_the_launch_of_what_the_partner_sends(http: httpx.AsyncClient) -> None:
    theirs = (await http.post("/marketing/campaigns", json=THEIRS)).headers["location"]
    launched = await http.post(f"{theirs}/disclosures")
    assert (launched.status_code, launched.json()["state"]) == (202, "launching")
    own = (await http.post("/marketing/campaigns", json=OWN)).headers["location"]
    refused = await http.post(f"{own}/disclosures")
    assert (refused.status_code, problem(refused)) == (409, "nothing-to-disclose")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"company": "nobody"}, "company"),
        ({"product_group": "solar"}, "product_group"),
        ({"product_group": None}, "product_group"),
        ({"channel": "smoke_signals"}, "channel"),
        ({"purpose": "research"}, "purpose"),
        ({"partner": "matkat"}, "partner"),
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"surprise": 1}, "surprise"),
        (THEIRS | {"partner": "nobody"}, "partner"),
        (THEIRS | {"mode": "owl"}, "mode"),
    ],
)
async def test_what_cannot_be_is_refused_by_field(
    http: httpx.AsyncClient, pool: Pool, change: dict[str, Any], field: str
) -> None:
    group_wide = {"Authorization": "Bearer campaigns"}
    refused = await http.post("/marketing/campaigns", json=OWN | change, headers=group_wide)
    assert refused.status_code == 422, refused.text
    assert any(field in e["field"] for e in refused.json()["errors"]), refused.text
    assert problem(refused)
    assert await campaigns_in(pool) == 0


async def test_a_caller_acts_only_for_its_company_and_role(http: httpx.AsyncClient, pool: Pool) -> None:
    place = (await http.post("/marketing/campaigns", json=OWN)).headers["location"]
    ident = place.rpartition("/")[2]
    foreign = {"Authorization": "Bearer campaigns@sahko"}
    for method, path in (
        ("POST", f"{place}/launch"),
        ("POST", f"{place}/disclosures"),
        ("POST", f"{place}/close"),
        ("GET", place),
        ("GET", f"{place}/recipients"),
    ):
        answer = await http.request(method, path, headers=foreign)
        nobodys = await http.request(method, path.replace(ident, str(UUID(int=1))), headers=foreign)
        assert (answer.status_code, problem(answer)) == (404, "unknown-campaign"), path
        assert answer.text.replace(ident, "") == nobodys.text.replace(str(UUID(int=1)), ""), (
            "as if there was none"
        )
        answer = await http.request(method, path, headers={"Authorization": "Bearer desk@kauppa"})
        assert (answer.status_code, problem(answer)) == (403, "missing-role"), path
        answer = await http.request(method, path, headers={"Authorization": ""})
        assert answer.status_code == 401, path
    assert (await http.post("/marketing/campaigns", json=OWN, headers=foreign)).status_code == 403
    assert (await http.get(place)).json()["state"] == "open"
    assert await campaigns_in(pool) == 1


async def test_the_company_may_be_left_to_the_token(http: httpx.AsyncClient) -> None:
    unnamed = {k: v for k, v in OWN.items() if k != "company"}
    assert (await http.post("/marketing/campaigns", json=unnamed)).json()["company"] == "kauppa"
    group_wide = {"Authorization": "Bearer campaigns"}
    refused = await http.post("/marketing/campaigns", json=unnamed, headers=group_wide)
    assert [e["field"] for e in refused.json()["errors"]] == ["company"]


async def test_a_request_repeated_with_its_key_drafts_once(http: httpx.AsyncClient, pool: Pool) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first, again = [await http.post("/marketing/campaigns", json=OWN, headers=key) for _ in range(2)]
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert await campaigns_in(pool) == 1


async def test_an_unknown_campaign_is_not_found(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/marketing/campaigns/{uuid4()}")
    assert (answer.status_code, problem(answer)) == (404, "unknown-campaign")
