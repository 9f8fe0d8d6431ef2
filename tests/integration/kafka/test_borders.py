"""The access control lists that follow from the group, on a broker that enforces them."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from deploy.local.servers.kafka import Kafka
from kielto import kafka
from kielto.acls import QUOTA, SERVICES, Acl, acls, strimzi, user_of
from kielto.events.topics import PARTITIONS, Lane, acks, decisions, permissions_of
from kielto.group import Company, Controller, Group, Partner
from kielto.kafka import Security, TopicPartition
from kielto.subscriber import MemoryStore, NotReadyError, Subscriber
from tests.integration.kafka.secure import PASSWORD, USER, Authority, broker

GROUP = Group(
    revision=1,
    controller=Controller(name="x", business_id="9912345-6", contact="x"),
    companies=(
        Company(id="a", name="A", product_groups=("x",)),
        Company(id="ab", name="AB", product_groups=("x",)),
    ),
    partners=(Partner(id="p", name="P", of=("a",)),),
)
A, AB, P = "company.a", "company.ab", "partner.p"
NOTHING, READS, NO_DECISIONS = "nothing", "reads", "no-decisions"


@dataclass(frozen=True)
class BrokerGround:
    kafka: Kafka
    authority: Authority

    def security(self, user: str) -> Security:
        cert_file, key_file = self.authority.folder / "client.pem", self.authority.folder / "client.key"
        return Security(
            "SASL_SSL",
            username=user,
            password=PASSWORD,
            ca_file=self.authority.ca_file,
            cert_file=cert_file,
            key_file=key_file,
        )

    @asynccontextmanager
    async def client(self, make: Any, user: str, **settings: Any) -> AsyncIterator[Any]:
        made = make(self.kafka.bootstrap, security=self.security(user), **settings)
        try:
            await made.start()
            yield made
        finally:
            await kafka.close(made)

    def admin(self) -> AdminClient:
        return AdminClient(
            {
                "bootstrap.servers": self.kafka.bootstrap,
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": USER,
                "sasl.password": PASSWORD,
                "ssl.ca.location": str(self.authority.ca_file),
                "ssl.certificate.location": str(self.authority.folder / "client.pem"),
                "ssl.key.location": str(self.authority.folder / "client.key"),
            }
        )


def _binding(acl: Acl) -> AclBinding:
    return AclBinding(
        ResourceType[acl.resource.upper()],
        acl.name,
        ResourcePatternType[acl.pattern.upper()],
        acl.principal,
        "*",
        AclOperation[_OPERATIONS.get(acl.operation, acl.operation.upper())],
        AclPermissionType.ALLOW,
    )


_OPERATIONS = {"DescribeConfigs": "DESCRIBE_CONFIGS"}


def _create(admin: AdminClient) -> None:
    """A broker that has just started says yes, and forgets them: until it shows them all."""
    wanted = [_binding(acl) for acl in (*acls(GROUP), *_lacking())]
    until = time.monotonic() + 60
    anything = (ResourceType.ANY, None, ResourcePatternType.ANY, None, None)  # the types want names
    kind = AclBindingFilter(*anything, AclOperation.ANY, AclPermissionType.ANY)  # type: ignore[arg-type]
    while len(admin.describe_acls(kind).result(20)) < len(wanted):
        assert time.monotonic() < until
        for created in admin.create_acls(wanted).values():
            created.result(20)
        time.sleep(1)


def _lacking() -> Iterator[Acl]:
    """Of users of the company that were given too little."""
    own = permissions_of(A)
    rights: dict[str, dict[str, tuple[str, ...]]] = {
        READS: {own.bulk: ("Read", "Describe"), own.topic(Lane.EXPRESS): ("Read", "Describe")},
        NO_DECISIONS: {acks(A): ("Write", "Describe")},
    }
    rights[READS] |= {acks(A): ("Describe",), decisions(A): ("Describe",)}
    rights[NO_DECISIONS] |= rights[READS] | rights[NO_DECISIONS]
    for user, topics in rights.items():
        for topic, operations in topics.items():
            yield from (Acl(f"User:{user}", "Topic", topic, "Literal", operation) for operation in operations)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerGround]:
    folder: Path = tmp_path_factory.mktemp("borders")
    authority = Authority.make(folder / "authority")
    authority.issue("client")
    users = [*(user_of(who) for who in (*SERVICES, *GROUP.parties)), NOTHING, READS, NO_DECISIONS]
    made = broker(folder / "kafka", authority, users)
    made.start()
    ground = BrokerGround(made, authority)
    try:
        asyncio.run(kafka.create_topics(made.bootstrap, GROUP.topics(), security=ground.security(USER)))
        _create(ground.admin())
        yield ground
    finally:
        made.stop()


async def may_write(ground: BrokerGround, user: str, topic: str) -> bool:
    async with ground.client(kafka.producer, user) as producer:
        try:
            await producer.send_and_wait(topic, b"{}", b"k")
        except TopicAuthorizationFailedError:
            return False
    return True


async def may_read(ground: BrokerGround, user: str, topic: str, group: str) -> bool:
    consumer = kafka.consumer(ground.kafka.bootstrap, security=ground.security(user), group=group)
    consumer.subscribe([topic])
    try:
        await consumer.start()
        await consumer.getmany(timeout_ms=3000)
    except (TopicAuthorizationFailedError, GroupAuthorizationFailedError):
        return False
    finally:
        await kafka.close(consumer)
    return True


@pytest.mark.parametrize("own", [A, AB, P])
async def test_a_party_writes_what_it_says_and_nothing_else(ground: BrokerGround, own: str) -> None:
    written = {t.name for t in GROUP.topics() if t.writer == own}
    assert {decisions(own), acks(own)} <= written
    async with ground.client(kafka.consumer, own) as client:
        found = await kafka.writable(client, [t.name for t in GROUP.topics()])
    assert found == written
    assert await may_write(ground, own, decisions(own))
    for other in {A, AB, P} - {own}:
        assert not await may_write(ground, own, decisions(other)), "another's no"
    assert not await may_write(ground, own, permissions_of(own).bulk), "its own permissions"


async def test_a_party_reads_its_own_with_its_own_groups(ground: BrokerGround) -> None:
    own, other = permissions_of(A).bulk, permissions_of(AB).bulk
    assert await may_read(ground, A, own, f"{A}.crm")
    assert not await may_read(ground, A, other, f"{A}.crm")
    assert not await may_read(ground, A, own, f"{AB}.crm"), "a name that begins with ours is another's"
    assert not await may_read(ground, A, "customers.state.v1", f"{A}.crm")
    assert not await may_read(ground, A, decisions(A), f"{A}.crm"), "not even back what it said"


async def test_the_services_may_what_they_do(ground: BrokerGround) -> None:
    for service in SERVICES:
        async with ground.client(kafka.consumer, user_of(service)) as client:
            own = [t.name for t in GROUP.topics() if t.writer == service]
            others = [t.name for t in GROUP.topics() if t.writer != service]
            assert await kafka.writable(client, own) == set(own)
            assert await kafka.writable(client, others) == set(), "no service says a company's no"
            read = {t for t in GROUP.topics() if service in t.readers or t.writer == service}
            ends = await kafka.end_offsets(
                client, [TopicPartition(t.name, p) for t in read for p in range(PARTITIONS)]
            )
            assert len(ends) == len(read) * PARTITIONS
        verified = [t for t in GROUP.topics() if service in t.readers or t.writer == service]
        await kafka.verify_topics(
            ground.kafka.bootstrap, verified, security=ground.security(user_of(service))
        )


@pytest.mark.parametrize(
    ("user", "spool", "words"),
    [
        # Its producer and its consumer are refused, and either may be the last to say so.
        (
            NOTHING,
            True,
            "party: its topics are missing, or this Kafka user may not see them|security: Kafka refuses",
        ),
        (NOTHING, False, "party: its topics are missing, or this Kafka user may not see them"),
        (READS, True, "security: Kafka refuses this user"),
        (READS, False, "security: Kafka refuses this user"),
        (NO_DECISIONS, True, "security: Kafka refuses this user"),
        (NO_DECISIONS, False, "the gate is shut"),
        (A, True, "the gate is shut"),
    ],
)
async def test_a_subscriber_is_told_which_right_it_lacks(
    ground: BrokerGround, tmp_path: Path, user: str, spool: bool, words: str
) -> None:
    subscriber = Subscriber(
        subscriber="crm",
        party=A,
        bootstrap=ground.kafka.bootstrap,
        point_keys={1: b"k" * 32},
        store=MemoryStore(),
        spool=tmp_path / "spool" if spool else None,
        security=ground.security(user),
        flush_seconds=0,
    )
    async with subscriber:
        with pytest.raises(NotReadyError, match=f"^({words})"):
            await subscriber.ready(3.0)


async def test_without_access_control_every_topic_is_open(ground: BrokerGround) -> None:
    """As for a user who may do everything."""
    async with ground.client(kafka.consumer, USER) as client:
        names = [decisions(A), decisions(AB)]
        assert await kafka.writable(client, names) == set(names)


def test_nobody_creates_topics_and_each_party_has_a_quota() -> None:
    listed = list(acls(GROUP))
    assert {acl.resource for acl in listed} == {"Topic", "Group"}, "nothing of the cluster's"
    assert {acl.operation for acl in listed} == {"Read", "Write", "Describe", "DescribeConfigs"}
    assert all(acl.name.endswith(".") for acl in listed if acl.resource == "Group")
    assert strimzi(GROUP).count("quotas:") == len(GROUP.parties)
    assert str(QUOTA["producerByteRate"]) in strimzi(GROUP)


async def test_a_subscriber_that_may_not_read_says_so(
    ground: BrokerGround, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user may not describe and what is not there are one answer of the brokers'."""
    monkeypatch.setattr("kielto.subscriber.subscriber.MISSING_SECONDS", 1.0)
    async with Subscriber(
        subscriber="crm",
        party=AB,
        bootstrap=ground.kafka.bootstrap,
        point_keys={1: b"k" * 32},
        store=MemoryStore(),
        security=ground.security(user_of(A)),
    ) as kielto:
        with pytest.raises(NotReadyError, match="party: its topics are missing"):
            await kielto.ready(30.0)
        assert kielto.shut() is not None
