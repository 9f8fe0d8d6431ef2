"""marketing as a process, on real PostgreSQL and Kafka; customers, consents and the companies are played here."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import asyncpg
import httpx
import pytest

from deploy.local import token
from deploy.local.servers.kafka import Kafka
from deploy.local.servers.stack import Stack
from deploy.local.services import Services
from kielto.events import envelope
from kielto.events.messages import Audience, MarketingEvent, Report
from kielto.events.topics import CONSENTS, CUSTOMERS, MARKETING_EVENTS, Lane, audiences, reports
from kielto.events.words import Channel
from kielto.service.support.crypto_keys import Keys
from services.marketing.model.campaign import Aim
from tests.databases import drop_database
from tests.integration.marketing.world import (
    NOW,
    OWN_POST,
    THEIR_POST,
    MarketedPerson,
    customer,
    permissions,
    person,
)
from tests.neighbours import BEAT_SECONDS, Neighbours
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
KAUPPA, MATKAT = audiences("company.kauppa"), audiences("partner.matkat")
EXPRESS = CONSENTS.topic(Lane.EXPRESS)


@pytest.fixture
def marketing(stack: Stack, kafka: Kafka, tmp_path: Path) -> Iterator[Services]:
    """The process, on a broker of its own: the topics' names are fixed."""
    ground = cast(Stack, SimpleNamespace(postgres=stack.postgres, kafka=kafka))
    modules = {"marketing": "services.marketing"}
    services = Services(ground, tmp_path / "services", beat_seconds=BEAT_SECONDS, modules=modules)
    try:
        services.start()
        yield services
    finally:
        services.stop()
        drop_database(stack.postgres, "kielto_marketing")


class MarketingApi:
    def __init__(self, services: Services) -> None:
        self._base, self._metrics = services.url("marketing"), services.metrics("marketing")
        self._headers = {"Authorization": f"Bearer {token.issue(['campaigns'], company='kauppa')}"}

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        async with httpx.AsyncClient(headers=self._headers, timeout=20) as client:
            answer = await client.request(method, f"{self._base}{path}", json=body)
        assert answer.is_success, answer.text
        return cast(dict[str, Any], answer.json())

    async def metrics(self) -> str:
        async with httpx.AsyncClient(timeout=20) as client:
            return (await client.get(self._metrics)).text

    async def launch(self, aim: Aim) -> str:
        body = {
            "name": "Spring",
            "purpose": aim.purpose,
            "channel": aim.channel,
            "product_group": aim.product_group,
            "partner": aim.partner,
            "mode": aim.mode,
        }
        ident: str = (await self.call("POST", "/campaigns", body))["id"]
        await self.call("POST", f"/campaigns/{ident}/launch")
        return ident

    async def found(self, ident: str) -> dict[str, Any]:
        return await self.call("GET", f"/campaigns/{ident}")


async def fetch(services: Services, query: str) -> Any:
    conn = await asyncpg.connect(services.dsns["marketing"])
    try:
        return await conn.fetchval(query)
    finally:
        await conn.close()


async def introduce(
    world: Neighbours, services: Services, keys: Keys, crowd: list[MarketedPerson], *aims: Aim
) -> None:
    """customers and consents publish these people; returns when marketing holds both."""
    await world.write_states(CUSTOMERS.bulk, "customers", *(customer(keys, who) for who in crowd))
    await world.write_states(CONSENTS.bulk, "consents", *(permissions(who, 1, aims) for who in crowd))
    known = "SELECT count(*) FROM people WHERE customer_status = 'live' AND permission_status = 'live'"

    async def all_known() -> bool:
        return int(await fetch(services, known)) == len(crowd)

    await until(all_known)


async def test_the_way_of_a_recall(marketing: Services) -> None:
    keys = Keys.load(marketing.keys_folder / "services.keys.json")
    api = MarketingApi(marketing)
    crowd = [person() for _ in range(40)]
    banned, garbled, reader = crowd[:3]
    subjects = {who.id: keys.pairwise("company.kauppa", who.id) for who in crowd}
    async with Neighbours.beside(marketing.stack.kafka.bootstrap) as world:
        await introduce(world, marketing, keys, crowd, OWN_POST)

        async def told() -> list[tuple[str, str]]:
            messages = await world.read(KAUPPA, (Audience,))
            return [(m.key, cast(Audience, m.event).action) for m in messages]

        ident = await api.launch(OWN_POST)
        await asyncio.sleep(4 * BEAT_SECONDS)
        assert (await api.found(ident))["addressed"] == 0, "without beats nobody is addressed"
        async with world.beating(CONSENTS, CUSTOMERS):
            await until(lambda: _is(api, ident, state="launched", addressed=len(crowd)))
            await until(lambda: _equals(told, {(s, "address") for s in subjects.values()}))

            began = time.monotonic()
            await world.write_states(EXPRESS, "consents", permissions(banned, 2))
            await until(lambda: _holds(told, (subjects[banned.id], "recall")))
            assert time.monotonic() - began < 10

            message = envelope.encode(permissions(garbled, 2), key=str(garbled.id), source="consents")
            await world.write_raw(EXPRESS, message.key, b"{", message.headers)
            await until(lambda: _holds(told, (subjects[garbled.id], "recall")))
            assert await fetch(marketing, "SELECT count(*) FROM quarantine") == 1

            await world.write_states(CONSENTS.bulk, "consents", permissions(banned, 3, [OWN_POST]))
            await _report(world, marketing, ident, subjects[reader.id], reader)
        found = await api.found(ident)
        assert (found["addressed"], found["recalled"], found["delivered"]) == (len(crowd), 2, 1)
        assert Counter(action for _, action in await told()) == {"address": len(crowd), "recall": 2}
        assert 'kielto_marketing_recalls_total{party="company.kauppa"} 2.0' in await api.metrics()
    began = time.monotonic()
    await asyncio.to_thread(marketing.stop)
    assert time.monotonic() - began < 8, "a graceful stop waits only for what is in hand"


async def _report(
    world: Neighbours, services: Services, ident: str, subject: str, who: MarketedPerson
) -> None:
    """A delivery is taken in; a response of someone never addressed is kept aside."""
    good = {"id": uuid4(), "campaign": ident, "channel": Channel.POST, "at": NOW}
    await world.write_states(
        reports("company.kauppa"),
        "company.kauppa",
        Report(**good, what="response", subject="f" * 64),
        Report(**good, what="delivery", subject=subject),
    )

    async def events() -> list[Any]:
        return [read.event for read in await world.read(MARKETING_EVENTS, (MarketingEvent,))]

    (event,) = await until(events)
    assert (event.what, event.customer, str(event.campaign)) == ("delivery", who.id, ident)

    async def kept_aside() -> bool:
        return int(await fetch(services, "SELECT count(*) FROM quarantine")) == 2

    await until(kept_aside)


async def test_a_service_killed_in_a_launch_addresses_everyone_all_the_same(marketing: Services) -> None:
    keys = Keys.load(marketing.keys_folder / "services.keys.json")
    crowd = [person() for _ in range(2000)]
    async with Neighbours.beside(marketing.stack.kafka.bootstrap) as world:
        await introduce(world, marketing, keys, crowd, THEIR_POST)
        async with world.beating(CONSENTS, CUSTOMERS):
            ident = await MarketingApi(marketing).launch(THEIR_POST)

            async def under_way() -> bool:
                return bool(await fetch(marketing, "SELECT seen > 0 FROM campaigns"))

            await until(under_way)
            process = marketing.processes["marketing"]
            os.kill(process.pid, signal.SIGKILL)
            await until(lambda: _ended(process))
            assert await fetch(marketing, "SELECT state FROM campaigns") == "launching"
            process.start()
            await asyncio.to_thread(marketing.wait, "marketing")
            await until(lambda: _is(MarketingApi(marketing), ident, state="launched", addressed=len(crowd)))

            async def all_sent() -> bool:
                return int(await fetch(marketing, "SELECT count(*) FROM reports")) == 0

            await until(all_sent)
        for topic, carries in ((MATKAT, Audience), (MARKETING_EVENTS, MarketingEvent)):
            # A message may be sent twice, but is then the same one.
            found = {read.headers["ce_id"]: read.key for read in await world.read(topic, (carries,))}
            assert set(Counter(found.values()).values()) == {1}
            assert len(found) == len(crowd)


async def _is(api: MarketingApi, ident: str, **fields: Any) -> bool:
    found = await api.found(ident)
    return fields.items() <= found.items()


async def _equals(told: Callable[[], Awaitable[list[Any]]], expected: set[Any]) -> bool:
    return set(await told()) == expected


async def _holds(told: Callable[[], Awaitable[list[Any]]], expected: Any) -> bool:
    return expected in await told()


async def _ended(process: Any) -> bool:
    return not process.running
