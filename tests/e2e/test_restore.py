"""Promotion and restore of PostgreSQL under everything that runs: what reached the topics is not forgotten.

The services are never told: they see another timeline, or topics that are ahead of their database.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from deploy.local.servers.postgres import Postgres
from deploy.local.servers.stack import Stack
from tests.e2e import databases
from tests.e2e.checks import (
    HOPELESS_SECONDS,
    acknowledged_are_kept,
    gate_shut,
    gates_open,
    settle,
    stores_equal,
)
from tests.e2e.cluster import RELAYS
from tests.e2e.databases import IN_MEMORY, DatabaseDoor, RestoredCluster, caught_up, copied, promote, put_back
from tests.e2e.driver import Driver
from tests.e2e.workload import at

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CUSTOMERS = 30
BAN: dict[str, Any] = {"act": "ban"}
WATCHED = ("kauppa-crm", IN_MEMORY)
CONSENT = {"act": "consent", "reach": "company", "purposes": ["own_marketing"], "channels": ["email"]}


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Postgres]:
    server = Postgres(tmp_path / "stores", {"fsync": "off"})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bugs() -> dict[str, str]:
    return {}


@pytest.fixture
async def door(own_stack: Stack) -> AsyncIterator[DatabaseDoor]:
    made = DatabaseDoor(own_stack.postgres.port)
    await made.open()
    yield made
    made.close()


@pytest.fixture
async def cluster(
    own_stack: Stack, stores: Postgres, door: DatabaseDoor, tmp_path: Path, bugs: dict[str, str]
) -> AsyncIterator[RestoredCluster]:
    async with RestoredCluster(own_stack, tmp_path / "cluster", stores, bugs, door.port).running() as running:
        yield running


class RestoreWatch:
    """Asks both stores of one company, over and over, about people whose ban they hold: none may ever be allowed."""

    def __init__(self, cluster: RestoredCluster, driver: Driver) -> None:
        self._cluster, self._driver = cluster, driver
        self.banned: set[int] = set()
        self.late_yes: list[str] = []
        self.asked = 0
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def may(self, follower: str, customer: int) -> tuple[bool, str]:
        ident = self._cluster.ident(self._cluster.party(follower), self._driver.ids[customer])
        question = {"purpose": "own_marketing", "channel": "phone", "customer": ident}
        question["address"] = self._driver.phone(customer)
        answer = await self._cluster.ask(follower, "/may", question)
        return answer["allowed"], answer["reason"]

    async def _run(self) -> None:
        while True:
            for follower in WATCHED:
                for customer in sorted(self.banned):
                    self.asked += 1
                    if (await self.may(follower, customer))[0]:
                        self.late_yes.append(f"{follower}: customer {customer} is banned, and may be called")
            await asyncio.sleep(0.05)


async def give(driver: Driver, customers: range, via: str = "http", body: dict[str, Any] = BAN) -> None:
    await driver.give([at(n, via, body) for n in customers], per_second=200)


async def shown(cluster: RestoredCluster) -> tuple[int, bool, int]:
    """Epoch, whether it is open and checked, and backfills that are not complete."""
    connection = await asyncpg.connect(cluster.dsn)
    try:
        row = await connection.fetchrow(
            "SELECT epoch, EXISTS (SELECT FROM current_epoch WHERE checked) AS checked,"
            " (SELECT count(*) FROM snapshots s WHERE finished_at IS NULL AND generation ="
            "   (SELECT max(generation) FROM snapshots t WHERE t.family = s.family)) AS incomplete FROM epoch"
        )
        assert row is not None
        return row["epoch"], row["checked"], row["incomplete"]
    finally:
        await connection.close()


async def in_epoch(cluster: RestoredCluster, epoch: int, seconds: float = 90) -> None:
    """It is open, and everything was published in it once."""
    last: object = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    last = await shown(cluster)
                except (OSError, asyncpg.PostgresError) as error:
                    last = error
                if last == (epoch, True, 0):
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"epoch {epoch} is not open: {last}") from None


async def found_wrong(
    cluster: RestoredCluster, driver: Driver, watch: RestoreWatch, hopeless_seconds: float = math.inf
) -> list[str]:
    """Of all that must hold when everything has come to rest."""
    await settle(cluster, driver, cluster.stores, seconds=60, hopeless_seconds=hopeless_seconds)
    return [
        *watch.late_yes,
        *await acknowledged_are_kept(cluster, driver),
        *await stores_equal(cluster, cluster.stores),
    ]


async def banned(driver: Driver, watch: RestoreWatch, cluster: RestoredCluster) -> None:
    """Bans by every way, all of which have reached every store."""
    given = len(watch.banned)
    await give(driver, range(given, given + 4))
    await give(driver, range(given + 4, given + 6), "kauppa")
    await settle(cluster, driver, cluster.stores, seconds=60)
    assert not await stores_equal(cluster, cluster.stores)
    await gates_open(cluster, (*cluster.stores, IN_MEMORY))
    watch.banned |= set(range(given, given + 6))


async def test_one_backup_restored_twice(cluster: RestoredCluster, own_stack: Stack, tmp_path: Path) -> None:
    """With Kafka's topics ahead. Before that: a mere restart while Kafka is away, when decisions go on."""
    driver = Driver(cluster, CUSTOMERS)
    await driver.bring_customers()
    watch = RestoreWatch(cluster, driver)
    await banned(driver, watch, cluster)

    await asyncio.to_thread(own_stack.kafka.kill)
    await asyncio.to_thread(own_stack.postgres.kill)
    await asyncio.to_thread(own_stack.postgres.start)
    await asyncio.wait_for(give(driver, range(28, 30)), 30)
    assert (await shown(cluster))[:2] == (1, False), "accepted, and not relayed before the look"
    await asyncio.to_thread(own_stack.kafka.start)
    await in_epoch(cluster, 1)

    backup = tmp_path / "backup"
    await asyncio.to_thread(copied, own_stack.postgres, backup)
    await in_epoch(cluster, 1)
    for epoch in (2, 3):
        await banned(driver, watch, cluster)
        await asyncio.to_thread(put_back, own_stack.postgres, backup)
        began = time.monotonic()
        await in_epoch(cluster, epoch)
        await gates_open(cluster, (*cluster.stores, IN_MEMORY))
        print(f"\nepoch {epoch}: all gates open {time.monotonic() - began:.1f} s after the server was back")
        assert not (wrong := await found_wrong(cluster, driver, watch)), "\n".join(wrong[:20])
        for follower in WATCHED:
            assert (await watch.may(follower, 26))[0], "without a re-permit"
    await watch.stop()
    assert watch.asked > 100
    rows = await _restored(cluster)
    assert rows > 0, "restrictions were taken back out of the topics"


async def _restored(cluster: RestoredCluster) -> int:
    connection = await asyncpg.connect(cluster.dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM restored"))
    finally:
        await connection.close()


async def backed_up(
    cluster: RestoredCluster, own_stack: Stack, tmp_path: Path
) -> tuple[Driver, RestoreWatch]:
    """A register with bans, and a backup of it."""
    driver = Driver(cluster, CUSTOMERS)
    await driver.bring_customers()
    watch = RestoreWatch(cluster, driver)
    await banned(driver, watch, cluster)
    await asyncio.to_thread(copied, own_stack.postgres, tmp_path / "backup")
    await in_epoch(cluster, 1)
    return driver, watch


class TestPlanted:
    @pytest.fixture
    def bugs(self, request: pytest.FixtureRequest) -> dict[str, str]:
        return dict.fromkeys(("customers", *RELAYS), request.param)

    @pytest.mark.parametrize("bugs", ["no-epoch"], indirect=True)
    async def test_a_restore_without_an_epoch_is_caught(
        self, cluster: RestoredCluster, own_stack: Stack, tmp_path: Path
    ) -> None:
        driver, watch = await backed_up(cluster, own_stack, tmp_path)
        await banned(driver, watch, cluster)
        await asyncio.to_thread(put_back, own_stack.postgres, tmp_path / "backup")
        await in_epoch(cluster, 1)
        # They come to be known as somebody else says something about them: the version is used a second time.
        await give(driver, range(6, 10), "http", CONSENT | {"company": "kauppa"})
        wrong = await found_wrong(cluster, driver, watch, HOPELESS_SECONDS)
        await watch.stop()
        print(f"\nwithout an epoch: {len(wrong)} findings, as {wrong[:3]}")
        assert any("is lost" in line for line in wrong)
        assert any("primary" in line for line in wrong)

    @pytest.mark.parametrize("bugs", ["epoch-of-the-database"], indirect=True)
    async def test_one_backup_that_gives_one_epoch_twice_is_caught(
        self, cluster: RestoredCluster, own_stack: Stack, tmp_path: Path
    ) -> None:
        driver, watch = await backed_up(cluster, own_stack, tmp_path)
        for _ in range(2):
            await banned(driver, watch, cluster)
            await asyncio.to_thread(put_back, own_stack.postgres, tmp_path / "backup")
            await in_epoch(cluster, 2)
            await give(driver, range(20, 24), "http", CONSENT | {"company": "kauppa"})
        wrong = await found_wrong(cluster, driver, watch, HOPELESS_SECONDS)
        await watch.stop()
        print(f"\none epoch twice: {len(wrong)} findings, as {wrong[:3]}")
        assert any("primary" in line for line in wrong)


async def test_a_promotion_under_running_services(
    cluster: RestoredCluster, own_stack: Stack, door: DatabaseDoor, tmp_path: Path
) -> None:
    """Bans are given all the while; nobody but the server changes. How long the gates are shut is printed."""
    driver = Driver(cluster, CUSTOMERS)
    await driver.bring_customers()
    primary = own_stack.postgres
    assert isinstance(primary, Postgres)
    await asyncio.to_thread(copied, primary, tmp_path / "copy")
    following = await asyncio.to_thread(databases.standby, primary, tmp_path / "standby", tmp_path / "copy")
    try:
        await in_epoch(cluster, 1)
        watch = RestoreWatch(cluster, driver)
        await banned(driver, watch, cluster)
        gates = [asyncio.create_task(_shut_for(cluster, follower)) for follower in WATCHED]
        await caught_up(following, primary)
        began = time.monotonic()
        await asyncio.to_thread(primary.kill)
        await promote(following)
        door.behind = following.port
        await give(driver, range(10, 16))
        accepted = time.monotonic() - began
        await in_epoch(cluster, 2)
        opened = time.monotonic() - began
        await gates_open(cluster, (*cluster.stores, IN_MEMORY))
        print(
            f"\ndecisions accepted {accepted:.1f} s, everything published {opened:.1f} s after the primary died"
        )
        for follower, gate in zip(WATCHED, gates, strict=True):
            print(f"{follower}: gate shut for {await asyncio.wait_for(gate, 60):.2f} s")
        assert not (wrong := await found_wrong(cluster, driver, watch)), "\n".join(wrong[:20])
        for follower in WATCHED:
            assert (await watch.may(follower, 26))[0], "without a re-permit"
        await watch.stop()
    finally:
        await asyncio.to_thread(following.stop)


async def _shut_for(cluster: RestoredCluster, follower: str) -> float:
    """Seconds from when the gate was first seen shut until it was open again."""
    shut_at = None
    while True:
        shut = await gate_shut(cluster, follower)
        if shut and shut_at is None:
            shut_at = time.monotonic()
        if shut_at is not None and not shut:
            return time.monotonic() - shut_at
        await asyncio.sleep(0.02)
