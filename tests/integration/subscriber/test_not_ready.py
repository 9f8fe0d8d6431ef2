"""What will never be: `ready` says so, and what to do, in bounded time."""

import asyncio
import time
from typing import Any

import asyncpg
import pytest

from deploy.local.servers.stack import Stack
from kielto import KieltoError
from kielto.events.control import AboutParty
from kielto.events.digests import check_of
from kielto.subscriber import (
    MemoryStore,
    NotReadyError,
    PostgresStore,
    Question,
    Reason,
    StoreError,
    Subscriber,
)
from tests.integration.subscriber.conftest import Follow
from tests.integration.subscriber.customers import POINT_KEY, open_with
from tests.integration.subscriber.relay import HandDrivenRelay
from tests.waiting import until

OURS = AboutParty(point_keys={1: check_of(POINT_KEY)}, subscribers=("crm",), partners=("matkat",))


async def why_not(kielto: Subscriber, seconds: float = 20.0) -> str:
    async with asyncio.timeout(30):
        with pytest.raises(NotReadyError) as error:
            await kielto.ready(seconds)
    assert isinstance(error.value, KieltoError)
    return str(error.value)


async def is_ready(kielto: Subscriber) -> bool:
    try:
        await kielto.ready(20)
    except NotReadyError:
        return False
    return True


async def ready_of(subscriber: Subscriber) -> None:
    async with subscriber as kielto:
        await kielto.ready(20)


async def test_what_the_group_says_is_what_was_set(relay: HandDrivenRelay, follow: Follow) -> None:
    relay.about = OURS
    async with follow() as kielto:
        await open_with(kielto, relay, "a")
        await kielto.ready(5)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"point_keys": {1: "0" * 16}}, "point_keys: generation 1 differs from the group's key"),
        ({"point_keys": {1: check_of(POINT_KEY), 2: "0" * 16}}, "point_keys: generation 2 is missing"),
        ({"subscribers": ("mail", "erp")}, "subscriber: it is not among those of"),
        ({"subscribers": ()}, "subscriber: it is not among those of"),
    ],
)
async def test_what_is_not_the_groups(
    relay: HandDrivenRelay, follow: Follow, about: dict[str, Any], words: str
) -> None:
    relay.about = OURS.model_copy(update=about)
    async with follow() as kielto:
        await relay.finish(await relay.ends())
        assert (await why_not(kielto)).startswith(words)
        if "point_keys" in about:  # nobody would be found by an address
            assert kielto.shut() is Reason.WRONG_KEYS
            assert (
                kielto.may(Question("own_marketing", "email", address="a@example.com")).reason
                is Reason.WRONG_KEYS
            )
        relay.about = OURS
        async with asyncio.timeout(20):  # it follows all the while
            while not await is_ready(kielto):  # noqa: ASYNC110 - only it can tell
                await asyncio.sleep(0.05)


async def test_no_broker_at_the_address(follow: Follow) -> None:
    async with follow(bootstrap="127.0.0.1:9", flush_seconds=0) as kielto:
        began = time.monotonic()
        assert (await why_not(kielto, 1.0)).startswith("bootstrap: no broker answers")
        assert time.monotonic() - began < 10


async def test_a_party_that_the_group_does_not_have(follow: Follow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kielto.subscriber.subscriber.MISSING_SECONDS", 1.0)
    async with follow(party="company.nobody") as kielto:
        assert (await why_not(kielto, 60.0)).startswith("party: its topics are missing")


async def test_no_heartbeat(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        assert "the gate is shut: snapshot-incomplete" in await why_not(kielto, 2.0)


@pytest.mark.parametrize(
    "dsn",
    ["", "kauppa", "postgresql://kauppa@db:port/x", "postgresql://[db/x", "postgresql://h/x?sslmode=maybe"],
)
async def test_a_malformed_dsn(follow: Follow, dsn: str) -> None:
    async def run() -> None:
        await ready_of(follow(store=PostgresStore(dsn)))

    with pytest.raises(StoreError, match=r"^dsn: ") as error:
        await run()
    assert not dsn or dsn not in str(error.value)


async def test_a_role_that_may_not_create_the_schema(
    stack: Stack, relay: HandDrivenRelay, follow: Follow
) -> None:
    dsn = stack.postgres.create_database("narrow")
    owner = await asyncpg.connect(dsn)
    await owner.execute("REVOKE CREATE ON DATABASE narrow FROM narrow, PUBLIC")
    await owner.close()
    with pytest.raises(StoreError, match="grant the user CREATE"):
        await ready_of(follow(store=PostgresStore(dsn)))


async def test_a_role_that_was_given_its_schema(stack: Stack, relay: HandDrivenRelay, follow: Follow) -> None:
    dsn = stack.postgres.create_database("given")
    owner = await asyncpg.connect(dsn)
    await owner.execute("CREATE SCHEMA kielto_subscriber; REVOKE CREATE ON DATABASE given FROM given, PUBLIC")
    await owner.close()
    async with follow(store=PostgresStore(dsn)) as kielto:
        await open_with(kielto, relay, "a")


async def test_no_database_at_the_address(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow(store=PostgresStore("postgresql://a:b@127.0.0.1:9/c")) as kielto:
        assert (await why_not(kielto, 1.0)).startswith("store: PostgreSQL does not answer")


async def test_a_database_that_takes_nothing(
    stack: Stack, relay: HandDrivenRelay, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A standby, a full disk, a right that was taken away: it is tried again, but not at once for ever."""
    dsn = stack.postgres.create_database("readonly")
    connects, connect = 0, PostgresStore._connect

    async def counted(store: PostgresStore) -> None:
        nonlocal connects
        connects += 1
        await connect(store)

    monkeypatch.setattr(PostgresStore, "_connect", counted)
    async with follow(store=PostgresStore(dsn)) as kielto:
        await open_with(kielto, relay, "a")
        owner = await asyncpg.connect(dsn)
        await owner.execute("REVOKE INSERT, UPDATE ON ALL TABLES IN SCHEMA kielto_subscriber FROM readonly")
        before = connects
        await until(lambda: kielto.shut() is not None)
        said = await why_not(kielto, 4.0)
        assert said.startswith("store: PostgreSQL does not take what was read (InsufficientPrivilegeError)")
        assert connects - before < 20
        await owner.execute("GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA kielto_subscriber TO readonly")
        await owner.close()
        await kielto.ready(10)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("subscriber", "CRM 1"),
        ("party", "kauppa"),
        ("party", "company.Kauppa"),
        ("bootstrap", "localhost"),
        ("bootstrap", "kafka:port"),
        ("bootstrap", ""),
        ("point_keys", {}),
        ("point_keys", {1: b"short"}),
        ("point_keys", {"1": POINT_KEY}),
        ("point_keys", {1: "k" * 32}),
        ("country", "fi"),
        ("country", "Finland"),
        ("stale_seconds", 0),
        ("stale_seconds", float("nan")),
    ],
)
def test_a_setting_that_cannot_be(setting: str, value: Any) -> None:
    right = {
        "subscriber": "crm",
        "party": "company.kauppa",
        "bootstrap": "a:9092,b:9092",
        "point_keys": {1: POINT_KEY},
    }
    Subscriber(**right, store=MemoryStore())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=f"^{setting}: "):
        Subscriber(**right | {setting: value}, store=MemoryStore())
