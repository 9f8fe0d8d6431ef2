"""2,000 decisions at random while everything is killed: at the end every store equals the primary."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.servers.stack import Stack
from kielto.events import topics
from tests.e2e import log
from tests.e2e.checks import acknowledged_are_kept, settle, stores_equal
from tests.e2e.cluster import Cluster, chaos
from tests.e2e.driver import Driver
from tests.e2e.scanner import scan_logs, scan_topics
from tests.e2e.workload import steps

DECISIONS = int(os.environ.get("KIELTO_E2E_DECISIONS", "2000"))
SEED = int(os.environ.get("KIELTO_E2E_SEED", "20261122"))
CUSTOMERS = 150
KAFKA_AWAY_SECONDS = 20.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
async def cluster(own_stack: Stack, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(own_stack, tmp_path / "cluster").running() as running:
        yield running


async def test_nothing_is_lost_whatever_is_killed(cluster: Cluster) -> None:
    driver = Driver(cluster, CUSTOMERS)
    await driver.bring_customers()
    over = asyncio.Event()
    killing = asyncio.create_task(chaos(cluster, SEED, over))
    outage = asyncio.create_task(kafka_away(cluster))
    began = time.monotonic()
    await driver.give(list(steps(SEED, DECISIONS, CUSTOMERS)), per_second=DECISIONS / 80)
    await outage
    over.set()
    killed = await killing
    print(
        f"\n{DECISIONS} decisions in {time.monotonic() - began:.0f} s, seed {SEED}: {dict(driver.outcomes)}"
    )
    print(f"killed: {dict(Counter(killed))}; Kafka away once for {KAFKA_AWAY_SECONDS:.0f} s")
    await settle(cluster, driver, cluster.stores)
    lost = await acknowledged_are_kept(cluster, driver)
    assert not lost, "\n".join(lost[:20])
    differences = await stores_equal(cluster, cluster.stores)
    assert not differences, "\n".join(differences[:20])
    assert driver.outcomes["taken"] > 0.9 * DECISIONS
    await the_log_ends_at_the_highest_version(cluster)
    await nothing_personal_leaks(cluster, driver)


async def kafka_away(cluster: Cluster) -> None:
    await asyncio.sleep(25)
    await asyncio.to_thread(cluster.stack.kafka.kill)
    await asyncio.sleep(KAFKA_AWAY_SECONDS)
    await asyncio.to_thread(cluster.stack.kafka.start)


async def the_log_ends_at_the_highest_version(cluster: Cluster) -> None:
    """On every state topic, nobody repairing: what compaction will keep is the newest."""
    names = [
        t for f in topics.families(cluster.group.parties) for t in {f.bulk, f.topic(topics.Lane.EXPRESS)}
    ]
    found = await log.versions(cluster.stack.kafka.bootstrap, names)
    assert found
    assert not (wrong := log.regressions(found)), "\n".join(wrong[:20])


async def nothing_personal_leaks(cluster: Cluster, driver: Driver) -> None:
    """The planted e-mail, phone and identity code: not in keys, headers, logs, traces or metrics."""
    names = [t.name for t in cluster.group.topics()]
    findings, read = await scan_topics(cluster.stack.kafka.bootstrap, names, driver.planted)
    assert read > DECISIONS
    findings += scan_logs(cluster.folder, driver.planted)
    findings += await driver.scan_metrics()
    assert not findings
