"""Two small services as processes of their own: everything together, killed and stopped as it happens in
life.
"""

import asyncio
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from deploy.local import token
from deploy.local.servers.kafka import Kafka
from deploy.local.servers.processes import Process
from deploy.local.servers.stack import Stack
from deploy.local.services import Services
from kielto import kafka as adapter
from kielto.events import envelope
from kielto.events.records import Customer
from kielto.events.topics import CUSTOMERS, Lane
from tests.databases import drop_database
from tests.integration.service.support import read_log
from tests.waiting import until

EXAMPLE = "tests.integration.service.example"
MODULES = {"customers": f"{EXAMPLE}.writer", "marketing": f"{EXAMPLE}.reader"}


@pytest.fixture
def ground(stack: Stack, kafka: Kafka, tmp_path: Path) -> Iterator[Services]:
    """Prepared, not started; on a broker of its own, since the topics' names are fixed."""
    servers = cast(Stack, SimpleNamespace(postgres=stack.postgres, kafka=kafka))
    services = Services(servers, tmp_path / "services", beat_seconds=0.3, modules=MODULES)
    services.prepare()
    yield services
    services.stop()
    for name in MODULES:
        drop_database(stack.postgres, f"kielto_{name}")


@pytest.fixture
def services(ground: Services) -> Services:
    ground.start()
    return ground


class Writer:
    """A client of the first service."""

    def __init__(self, services: Services) -> None:
        self._url = services.url("customers")
        self._authorization = f"Bearer {token.issue(['register'])}"

    async def post(
        self,
        ident: UUID,
        *,
        deceased: bool = False,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        given = {"Authorization": self._authorization, **(headers or {})}
        async with httpx.AsyncClient(
            timeout=20, headers=given, verify=False
        ) as client:  # it has no TLS at all
            content = body if body is not None else {"deceased": deceased}
            return await client.post(f"{self._url}/people/{ident}", json=content)

    async def insist(self, ident: UUID, *, deceased: bool) -> None:
        """As a careful client does: the same key until there is an answer."""
        key = str(uuid4())
        while True:
            try:
                answer = await self.post(ident, deceased=deceased, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                await asyncio.sleep(0.05)
                continue
            if answer.status_code == 201:
                return
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.05)


async def _all(dsn: str, query: str) -> dict[str, tuple[str, bool | None]]:
    conn = await asyncpg.connect(dsn)
    try:
        return {row["key"]: (row["version"], row["deceased"]) for row in await conn.fetch(query)}
    finally:
        await conn.close()


async def _written(services: Services) -> dict[str, tuple[str, bool | None]]:
    query = (
        "SELECT key, epoch || '.' || n AS version, coalesce((body->>'deceased')::bool, false) AS deceased"
        " FROM records"
    )
    return await _all(services.dsns["customers"], query)


async def _copied(services: Services) -> dict[str, tuple[str, bool | None]]:
    query = "SELECT id::text AS key, epoch || '.' || n AS version, deceased FROM copies"
    return await _all(services.dsns["marketing"], query)


async def _equal(services: Services) -> bool:
    return await _written(services) == await _copied(services)


async def test_from_the_request_to_the_copy(services: Services) -> None:
    writer, people = Writer(services), [uuid4() for _ in range(10)]
    for ident in people:
        answer = await writer.post(ident)
        assert (answer.status_code, answer.json()) == (201, {"version": "1.1"})
    assert (await writer.post(people[0], deceased=True)).json() == {"version": "1.2"}
    await until(lambda: _equal(services), "the copy differs")
    copied = await _copied(services)
    assert len(copied) == 10
    assert copied[str(people[0])] == ("1.2", True)


async def test_a_trace_goes_from_the_request_to_our_own_topics(services: Services, kafka: Kafka) -> None:
    ident, trace = uuid4(), "a1" * 16
    await Writer(services).post(ident, deceased=True, headers={"traceparent": f"00-{trace}-{'b2' * 8}-01"})
    await until(lambda: _equal(services), "the copy differs")
    topic = next(t for t in services.group.topics() if t.name == CUSTOMERS.topic(Lane.EXPRESS))
    entry = next(e for e in await read_log(kafka.bootstrap, topic) if e.key == str(ident))
    assert entry.headers["traceparent"].split("-")[1] == trace


async def test_killed_at_random_nothing_is_lost(services: Services, kafka: Kafka) -> None:
    chance, writer = random.Random(3), Writer(services)
    people = [uuid4() for _ in range(20)]

    async def kill() -> None:
        for _ in range(6):
            await asyncio.sleep(chance.uniform(0.5, 1.5))
            name = chance.choice(list(MODULES))
            await asyncio.to_thread(services.processes[name].kill)
            services.processes[name].start()

    killing = asyncio.create_task(kill())
    last: dict[str, bool] = {}
    while not killing.done():
        ident, deceased = chance.choice(people), chance.random() < 0.6
        await writer.insist(ident, deceased=deceased)
        last[str(ident)] = deceased
    await killing
    await until(lambda: _equal(services), "the copy differs from the primary", 40)
    assert {k: deceased for k, (_, deceased) in (await _copied(services)).items()} == last
    await _highest_is_last(services, kafka)


async def _highest_is_last(services: Services, kafka: Kafka) -> None:
    """In the log itself: the last record of every key on each topic has that topic's highest version."""
    for lane in Lane:
        topic = next(t for t in services.group.topics() if t.name == CUSTOMERS.topic(lane))
        seen: dict[str, list[tuple[int, ...]]] = {}
        for entry in await read_log(kafka.bootstrap, topic):
            if isinstance(entry.event, Customer):
                seen.setdefault(entry.key, []).append(tuple(entry.event.at_version))
        assert all(versions[-1] == max(versions) for versions in seen.values())


async def test_kafka_down_for_a_while(services: Services, kafka: Kafka) -> None:
    writer = Writer(services)
    await asyncio.to_thread(kafka.stop)
    people = [uuid4() for _ in range(10)]
    for ident in people:
        assert (await writer.post(ident, deceased=True)).status_code == 201
    for name in MODULES:  # and started again while it is away
        began = time.monotonic()
        await asyncio.to_thread(services.processes[name].stop)
        assert time.monotonic() - began < 8, "nobody waits for a broker that is away"
        services.processes[name].start()
        await asyncio.to_thread(services.wait, name)
    assert (await writer.post(people[0])).status_code == 201
    await asyncio.to_thread(kafka.start)
    await until(lambda: _equal(services), "not delivered after the broker came back", 60)
    assert len(await _copied(services)) == 10


async def test_the_very_first_start_without_kafka_refuses_writes(ground: Services, kafka: Kafka) -> None:
    kafka.stop()
    process = ground.processes["customers"]
    process.start()
    writer = Writer(ground)
    await until(lambda: _serves(ground), "the API does not serve")
    answer = await writer.post(uuid4())
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:kielto:problem:epoch-not-claimed")
    async with httpx.AsyncClient() as client:
        ready = await client.get(ground.url("customers").replace("/customers", "/readyz"))
    assert ready.status_code == 503
    await asyncio.to_thread(kafka.start)
    await asyncio.to_thread(ground.wait, "customers")
    assert (await writer.post(uuid4())).status_code == 201


async def _serves(services: Services) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"{services.url('customers')}/people/{uuid4()}")
    except httpx.TransportError:
        return False
    return answer.status_code == 404  # 503 says that the process starts


async def test_a_graceful_stop_is_quick_and_ends_well(services: Services) -> None:
    writer = Writer(services)
    for _ in range(5):
        await writer.post(uuid4())
    loop = asyncio.get_running_loop()
    for name in MODULES:
        process, began = services.processes[name], loop.time()
        process.terminate()
        assert process._child is not None
        assert await asyncio.to_thread(process._child.wait, 30) == 0, process.log_tail()
        assert loop.time() - began < 8


async def test_a_topic_that_is_missing_is_waited_for_and_one_that_differs_stops_the_start(
    ground: Services, kafka: Kafka
) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin: Any = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    await admin.delete_topics([CUSTOMERS.bulk])
    await until(lambda: _is_gone(admin, CUSTOMERS.bulk), "it is still there")
    process = ground.processes["customers"]
    process.start()
    await until(lambda: _says(process, "run the set-up"), "it does not say what it waits for", 60)
    assert process.running
    await admin.create_topics([NewTopic(CUSTOMERS.bulk, 3, 1)])
    await admin.close()
    assert process._child is not None
    assert await asyncio.to_thread(process._child.wait, 60) == 1
    assert f"{CUSTOMERS.bulk}: has 3 partitions" in process.log_tail()


async def _says(process: Process, text: str) -> bool:
    return text in process.log_tail()


async def _is_gone(admin: Any, topic: str) -> bool:
    return topic not in await admin.list_topics()


async def test_quarantine_by_command(services: Services, kafka: Kafka) -> None:
    ident = uuid4()
    encoded = envelope.encode(Customer(version="1.1", subject=ident), key=str(ident), source="customers")
    producer = adapter.producer(kafka.bootstrap)
    await producer.start()
    await producer.send_and_wait(CUSTOMERS.bulk, b"{", encoded.key, headers=encoded.headers)
    await producer.stop()
    await until(lambda: _is_denied(services, ident), "not denied")

    def command(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", MODULES["marketing"], "quarantine", *arguments],
            env=services.environment("marketing"),
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    code, listed = await asyncio.to_thread(command, "list")
    assert code == 0
    assert "value: JSON: json_invalid" in listed
    number = listed.split("\t")[0]
    assert (await asyncio.to_thread(command, "replay", number))[0] == 1, "it is as unreadable as before"
    assert await asyncio.to_thread(command, "discard", number) == (0, "discarded\n")
    assert await asyncio.to_thread(command, "list") == (0, "")
    assert (await asyncio.to_thread(command, "nonsense"))[0] == 2


async def _is_denied(services: Services, ident: UUID) -> bool:
    return (await _copied(services)).get(str(ident)) == ("1.1", None)


async def test_problems_and_repetitions(services: Services) -> None:
    writer, ident = Writer(services), uuid4()
    once = {"Idempotency-Key": "k1"}
    first, again = await writer.post(ident, headers=once), await writer.post(ident, headers=once)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    reused = await writer.post(ident, deceased=True, headers=once)
    assert (reused.status_code, reused.json()["type"]) == (422, "urn:kielto:problem:idempotency-key-reused")
    two = await asyncio.gather(*(writer.post(uuid4(), headers={"Idempotency-Key": "k2"}) for _ in range(3)))
    assert sorted(answer.status_code for answer in two) == [201, 422, 422]
    bad = await writer.post(ident, body={"deceased": "perhaps"})
    assert bad.status_code == 422
    assert bad.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in bad.json()["errors"]] == ["deceased"]
    assert "perhaps" not in bad.text
    large = await writer.post(ident, body={"note": "x" * 2_100_000})
    assert (large.status_code, large.json()["type"]) == (413, "urn:kielto:problem:body-too-large")
    nobody = await writer.post(ident, headers={"Authorization": ""})
    assert (nobody.status_code, nobody.json()["type"]) == (401, "urn:kielto:problem:unauthorised")
    for role, company, why in (
        ("register", "kauppa", "foreign-company"),
        ("register", "gone", "unknown-company"),
        ("desk", None, "missing-role"),
    ):
        bearer = token.issue([role], company=company)
        refused = await writer.post(ident, headers={"Authorization": f"Bearer {bearer}"})
        assert (refused.status_code, refused.json()["type"]) == (403, f"urn:kielto:problem:{why}")
    # Each on a connection of its own: the server may close the one on which it has failed.
    broken = await _get(f"{services.url('customers')}/broken")
    metrics = await shown(services, "customers")
    nothing = await _get(f"{services.url('customers')}/nothing/here")
    assert (broken.status_code, nothing.status_code) == (500, 404)
    assert "kielto_oldest_mark_seconds" in metrics
    log = (services.folder / "customers.log").read_text()
    assert "secret-value" not in log + metrics + broken.text
    assert str(ident) not in log + metrics


async def shown(services: Services, name: str) -> str:
    """A service's metrics."""
    return (await _get(services.metrics(name))).text


async def _get(url: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url)
