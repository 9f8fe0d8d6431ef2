"""The faults that the end-to-end proof stands on: each passes as built, and fails with its bug planted."""

import asyncio
import math
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from deploy.local.servers.stack import Stack
from tests.e2e.checks import HOPELESS_SECONDS, acknowledged_are_kept, settle, stores_equal
from tests.e2e.cluster import RELAYS, Cluster
from tests.e2e.driver import Driver
from tests.e2e.workload import at
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

BUGS = {
    "sahko-crm": "no-version-guard",
    "consents": "default-acknowledgement",
    **dict.fromkeys(RELAYS, "deleted-before-the-answer"),
}
AS_BUILT = {"sahko-crm": "slow-bulk", **dict.fromkeys(RELAYS, "slow-relay")}
Scenario = Callable[[Cluster, Driver, float], Awaitable[list[str]]]


@pytest.fixture(params=["as built", "planted"])
async def cluster(request: pytest.FixtureRequest, own_stack: Stack, tmp_path: Path) -> AsyncIterator[Cluster]:
    bugs = AS_BUILT if request.param == "as built" else BUGS
    async with Cluster(own_stack, tmp_path / "cluster", bugs).running() as running:
        yield running


async def older_after_newer(cluster: Cluster, driver: Driver, hopeless: float) -> list[str]:
    """A subscriber is away; a consent goes by bulk, a ban by express; it reads the ban first."""
    await asyncio.to_thread(cluster.processes["sahko-crm"].kill)
    consent = {"act": "consent", "reach": "company", "company": "sahko", "purposes": ["own_marketing"]}
    for act in (consent | {"channels": ["email"]}, {"act": "ban"}):  # each is published before the next
        await driver.give([at(n, "http", act) for n in range(10)], per_second=100)
        await settle(cluster, driver, [], seconds=30, hopeless_seconds=hopeless)
    await asyncio.to_thread(cluster.processes["sahko-crm"].start)
    await asyncio.to_thread(cluster.wait, "sahko-crm")
    await settle(cluster, driver, ["sahko-crm"], seconds=15, hopeless_seconds=hopeless)
    return await stores_equal(cluster, ["sahko-crm"])


async def database_away(cluster: Cluster, driver: Driver, hopeless: float) -> list[str]:
    """Bans of a company's own desk arrive while PostgreSQL is down."""
    await asyncio.to_thread(cluster.stack.postgres.kill)
    await driver.give([at(n, "kauppa", {"act": "ban"}) for n in range(10, 20)], per_second=100)
    await asyncio.sleep(6)  # long enough to be read, and to fail
    await asyncio.to_thread(cluster.stack.postgres.start)
    await settle(cluster, driver, [], seconds=30, hopeless_seconds=hopeless)
    return await acknowledged_are_kept(cluster, driver)


async def relays_killed_in_between(cluster: Cluster, driver: Driver, hopeless: float) -> list[str]:
    """Bans are given, and the relays die between reading their marks and sending."""
    cluster.rest.mkdir()
    await driver.give([at(n, "http", {"act": "ban"}) for n in range(20, 30)], per_second=100)
    await until(lambda: any(cluster.rest.iterdir()), "no relay rests")
    for relay in RELAYS:
        await asyncio.to_thread(cluster.processes[relay].kill)
    await asyncio.to_thread(shutil.rmtree, cluster.rest)
    for relay in RELAYS:
        await asyncio.to_thread(cluster.processes[relay].start)
    await settle(cluster, driver, ["kauppa-crm"], seconds=30, hopeless_seconds=hopeless)
    return await stores_equal(cluster, ["kauppa-crm"])


SCENARIOS: dict[str, Scenario] = {
    "no version guard": older_after_newer,
    "the default acknowledgement policy": database_away,
    "a mark deleted before the broker's answer": relays_killed_in_between,
}


async def test_each_bug_is_caught_and_nothing_else(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    planted = "planted" in request.node.callspec.id
    driver = Driver(cluster, 30)
    await driver.bring_customers()
    for bug, scenario in SCENARIOS.items():
        found = await scenario(cluster, driver, HOPELESS_SECONDS if planted else math.inf)
        print(f"\n{bug}: {len(found)} found, {found[:1]}")
        assert bool(found) is planted, f"{bug}: {found[:3]}"
