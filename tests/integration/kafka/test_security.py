"""TLS, client certificates and SCRAM against a real broker that takes nothing less."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar, cast
from uuid import uuid4

import asyncpg
import httpx
import pytest

from deploy.local import token
from deploy.local.servers.kafka import Kafka
from deploy.local.servers.stack import Stack
from deploy.local.services import Services
from kielto import kafka
from kielto.events import control, envelope
from kielto.events.messages import Acknowledgement, Decision
from kielto.events.topics import PARTITIONS, Topic, acks, all_topics, decisions, permissions_of
from kielto.service.support.settings import KafkaSettings
from kielto.subscriber import MemoryStore, Subscriber
from tests.databases import drop_database
from tests.integration.kafka.secure import PASSWORD, USER, Authority, broker
from tests.waiting import until

Kind = TypeVar("Kind")
EXAMPLE = "tests.integration.service.example"
MODULES = {"customers": f"{EXAMPLE}.writer", "marketing": f"{EXAMPLE}.reader"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Kafka]:
    made = broker(tmp_path_factory.mktemp("secured") / "kafka", authority)
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def given(authority: Authority) -> dict[str, str]:
    """The settings of a process that may come in."""
    cert_file, key_file = authority.issue("client")
    password = authority.folder / "password"
    password.write_text(f"{PASSWORD}\n")
    return {
        "KIELTO_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KIELTO_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "KIELTO_KAFKA_SASL_USERNAME": USER,
        "KIELTO_KAFKA_SASL_PASSWORD_FILE": str(password),
        "KIELTO_KAFKA_CA_FILE": str(authority.ca_file),
        "KIELTO_KAFKA_CERT_FILE": str(cert_file),
        "KIELTO_KAFKA_KEY_FILE": str(key_file),
    }


def security_of(given: dict[str, str], secured: Kafka) -> kafka.Security:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KIELTO_KAFKA_BOOTSTRAP", secured.bootstrap)
        for name, value in given.items():
            environment.setenv(name, value)
        return KafkaSettings().security


def topic_named(name: str) -> Topic:
    return next(t for t in all_topics(["company.kauppa"]) if t.name == name)


@pytest.mark.parametrize(
    "without",
    [
        {"KIELTO_KAFKA_SASL_PASSWORD": "wrong"},
        {"KIELTO_KAFKA_CA_FILE": ""},
        {"KIELTO_KAFKA_CERT_FILE": "", "KIELTO_KAFKA_KEY_FILE": ""},
        dict.fromkeys(
            (
                "KIELTO_KAFKA_SECURITY_PROTOCOL",
                "KIELTO_KAFKA_SASL_USERNAME",
                "KIELTO_KAFKA_SASL_PASSWORD_FILE",
                "KIELTO_KAFKA_CA_FILE",
                "KIELTO_KAFKA_CERT_FILE",
                "KIELTO_KAFKA_KEY_FILE",
            ),
            "",
        ),
    ],
    ids=["wrong-password", "unknown-authority", "no-certificate", "in-clear"],
)
async def test_nothing_less_is_let_in(secured: Kafka, given: dict[str, str], without: dict[str, str]) -> None:
    less = {name: value for name, value in (given | without).items() if value}
    with pytest.raises(kafka.DOWN):
        await kafka.create_topics(secured.bootstrap, [], security=security_of(less, secured))


async def test_from_the_request_to_the_copy_over_tls(
    stack: Stack, secured: Kafka, given: dict[str, str], tmp_path: Path
) -> None:
    """Set-up, epoch, relays, consumers and the watch over inputs, each a client of its own."""

    class Secured(Services):
        def environment(self, name: str) -> dict[str, str]:
            return super().environment(name) | given

    servers = cast(Stack, SimpleNamespace(postgres=stack.postgres, kafka=secured))
    try:
        with Secured(servers, tmp_path / "services", beat_seconds=0.3, modules=MODULES) as services:
            ident = uuid4()
            headers = {"Authorization": f"Bearer {token.issue(['register'])}"}
            async with httpx.AsyncClient(timeout=20, headers=headers) as client:
                url = f"{services.url('customers')}/people/{ident}"
                assert (await client.post(url, json={"deceased": True})).status_code == 201
                await until(lambda: _copied(services, str(ident)), "no copy came", 30)
                await until(lambda: _finished(services), "the backfill does not end", 30)
    finally:
        for name in MODULES:
            drop_database(stack.postgres, f"kielto_{name}")
        logs = "".join(f.read_text() for f in (tmp_path / "services").glob("*.log"))
    assert PASSWORD not in logs
    assert '"input freshness"' not in logs, "the watch over inputs failed"


async def _copied(services: Services, ident: str) -> bool:
    query = "SELECT coalesce(bool_and(deceased), false) FROM copies WHERE id = $1::uuid"
    return await _ask(services.dsns["marketing"], query, ident)


async def _finished(services: Services) -> bool:
    query = "SELECT coalesce(bool_and(finished_at IS NOT NULL), false) FROM snapshots"
    return await _ask(services.dsns["customers"], query)


async def _ask(dsn: str, query: str, *arguments: str) -> bool:
    conn = await asyncpg.connect(dsn)
    try:
        return bool(await conn.fetchval(query, *arguments))
    finally:
        await conn.close()


async def test_an_outside_system_follows_submits_and_acknowledges_over_tls(
    secured: Kafka, given: dict[str, str], tmp_path: Path
) -> None:
    security, party = security_of(given, secured), "company.kauppa"
    family = permissions_of(party)
    names = (family.bulk, family.express, decisions(party), acks(party))
    await kafka.create_topics(secured.bootstrap, [topic_named(n or "") for n in names], security=security)
    await _beat(secured, security, family.express or "")
    async with Subscriber(
        subscriber="kauppa-crm",
        party=party,
        bootstrap=secured.bootstrap,
        store=MemoryStore(),
        point_keys={1: b"k" * 32},
        spool=tmp_path / "spool",
        security=security,
    ) as kielto:
        decision = await kielto.submit("ban", phone="040 123 4567")
        sent = await _first(secured, security, decisions(party), Decision)
        assert sent.id == decision
        told = await _first(secured, security, acks(party), Acknowledgement)
        assert {p.topic for p in told.positions} == {family.express}


async def _beat(secured: Kafka, security: kafka.Security, topic: str) -> None:
    beat = control.Beat(epoch=1, term=2, n=1, generation=1, at=datetime.now(UTC))
    message = envelope.encode(beat, key=control.BEAT, source="consents")
    producer = kafka.producer(secured.bootstrap, security=security)
    await producer.start()
    try:
        for partition in range(PARTITIONS):
            await producer.send_and_wait(
                topic, message.value, key=message.key, headers=message.headers, partition=partition
            )
    finally:
        await producer.stop()


async def _first(secured: Kafka, security: kafka.Security, topic: str, kind: type[Kind]) -> Kind:
    consumer = kafka.consumer(secured.bootstrap, security=security)
    await consumer.start()
    try:
        places = [kafka.TopicPartition(topic, p) for p in range(PARTITIONS)]
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        async with asyncio.timeout(20):
            while True:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for r in records:
                        read = envelope.read(topic_named(topic).carries, r.key, r.value, r.headers)
                        assert isinstance(read, envelope.Read)
                        assert isinstance(read.event, kind)
                        return read.event
    finally:
        await consumer.stop()
