"""All three services: what consents permits is what marketing addresses, and each of its bans recalls."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import httpx
import pytest

from deploy.local import token
from deploy.local.ports import LOOPBACK
from deploy.local.servers.kafka import Kafka
from deploy.local.servers.stack import Stack
from deploy.local.services import Services
from kielto.events.messages import Audience, MarketingEvent
from kielto.events.topics import MARKETING_EVENTS, audiences
from kielto.service.support.crypto_keys import Keys
from tests.databases import drop_database
from tests.neighbours import Neighbours

SMS = {"purpose": "own_marketing", "channel": "sms", "product_group": "groceries"}
THEIRS = {"purpose": "partner_marketing", "channel": "post", "partner": "matkat", "mode": "partner_sends"}


@pytest.fixture
def group_services(stack: Stack, kafka: Kafka, tmp_path: Path) -> Iterator[Services]:
    ground = cast(Stack, SimpleNamespace(postgres=stack.postgres, kafka=kafka))
    services = Services(ground, tmp_path / "services", beat_seconds=0.5)
    try:
        services.start()
        yield services
    finally:
        services.stop()
        for name in services.dsns:
            drop_database(stack.postgres, f"kielto_{name}")


class WholeApi:
    def __init__(self, services: Services, http: httpx.AsyncClient) -> None:
        self._services, self._http = services, http
        self._headers = {"Authorization": f"Bearer {token.issue(token.ROLES)}"}

    async def call(self, method: str, path: str, body: Any = None, text: str | None = None) -> Any:
        url = f"http://{LOOPBACK}:{self._services.ports[path.split('/')[1]]}{path}"
        kind = {"Content-Type": "application/x-ndjson"} if text else {}
        answer = await self._http.request(
            method, url, json=body, content=text, headers={**self._headers, **kind}
        )
        assert answer.is_success, answer.text
        return [json.loads(line) for line in answer.text.splitlines()] if text else answer.json()

    async def campaign(self, wanted: dict[str, str]) -> str:
        body = {"company": "kauppa", "name": "A campaign", **wanted}
        ident: str = (await self.call("POST", "/marketing/campaigns", body))["id"]
        await self.call("POST", f"/marketing/campaigns/{ident}/launch")
        return ident

    async def until(self, ident: str, **fields: Any) -> None:
        found: dict[str, Any] = {}
        end = time.monotonic() + 90
        while time.monotonic() < end:
            found = await self.call("GET", f"/marketing/campaigns/{ident}")
            if fields.items() <= found.items():
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"not {fields} but {found}")


def row(number: int) -> str:
    """Every third has no phone: nobody may text them."""
    sale = {"seller": "kauppa", "date": "2025-05-05", "product_group": "groceries", "ban_offered": True}
    address = {"street": f"Katu {number}", "postal_code": "00100", "city": "HELSINKI", "country": "FI"}
    points: list[dict[str, Any]] = [{"kind": "post", "address": address}]
    if number % 3:
        points.append({"kind": "phone", "value": f"+35840123{number:04}", "sales": [sale]})
    return json.dumps({"number": str(number), "name": f"Person {number}", "points": points})


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_what_consents_says_is_what_a_campaign_does(group_services: Services) -> None:
    keys = Keys.load(group_services.keys_folder / "services.keys.json")
    bootstrap = group_services.stack.kafka.bootstrap
    async with httpx.AsyncClient(timeout=30) as http, Neighbours.beside(bootstrap) as world:
        api = WholeApi(group_services, http)
        numbers = range(1, 31)
        report = await api.call(
            "POST", "/customers/imports?company=kauppa", text="\n".join(row(n) for n in numbers) + "\n"
        )
        ids = {n: line["id"] for n, line in zip(numbers, report[:-1], strict=True)}
        await _known(api, ids.values())
        sms = await api.campaign(SMS)
        theirs = await api.campaign(THEIRS)
        await api.until(sms, state="launched", addressed=20)
        await api.until(theirs, state="launched", addressed=30)

        await api.call("POST", "/consents/decisions", {"subject": {"customer": ids[1]}, "act": "ban"})
        opt_out = {"subject": {"company": "kauppa", "number": "2"}, "act": "opt_out"}
        await api.call("POST", "/consents/decisions", opt_out)
        stop = {"subject": {"kind": "phone", "value": "+358401230004"}, "act": "ban", "route": "sms_stop"}
        await api.call("POST", "/consents/decisions", stop)
        await api.until(sms, recalled=2)
        await api.until(theirs, recalled=2)

        await asyncio.sleep(1)
        recalled = await _told(world, "company.kauppa", "recall")
        assert recalled == {keys.pairwise("company.kauppa", UUID(ids[n])) for n in (1, 4)}
        recalled = await _told(world, "partner.matkat", "recall")
        assert recalled >= {keys.pairwise("partner.matkat", UUID(ids[n])) for n in (1, 2)}
        events = [read.event for read in await world.read(MARKETING_EVENTS, (MarketingEvent,))]
        assert {str(cast(MarketingEvent, e).customer) for e in events} == set(ids.values())


async def _known(api: WholeApi, ids: Any) -> None:
    """consents has heard of them; marketing hears of it at the same time, and its launch waits for beats."""
    async with asyncio.timeout(40):
        for ident in ids:
            while True:
                try:
                    await api.call("GET", f"/consents/customers/{ident}/permissions")
                    break
                except AssertionError:
                    await asyncio.sleep(0.1)
    await asyncio.sleep(2)


async def _told(world: Neighbours, party: str, action: str) -> set[str]:
    found = [cast(Audience, read.event) for read in await world.read(audiences(party), (Audience,))]
    return {message.subject for message in found if message.action == action}
