"""What must hold when everything has come to rest."""

import asyncio
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import asyncpg
import httpx

from deploy.local import ports
from kielto import kafka
from kielto.events.topics import PARTITIONS
from services.consents.use_cases.context import decision_id
from tests.e2e.cluster import Cluster
from tests.e2e.compare import BACKLOG, HeldPermission, allows, differences, primary
from tests.e2e.driver import Driver

SETTLED_SECONDS = 120.0
HOPELESS_SECONDS = 8.0
"""In which nothing moves: then what a planted bug has done is all that it will do."""
STORED = "SELECT id, epoch, n, unreadable, record FROM kielto_subscriber.records"
TAKEN = 'SELECT topic, partition, "offset" FROM positions'
DECIDED = "SELECT id FROM decisions"

Ends = Mapping[tuple[str, int], int]
"""By topic and partition."""


async def gates_open(cluster: Cluster, followers: Iterable[str], seconds: float = 90) -> None:
    end = asyncio.get_running_loop().time() + seconds
    for follower in followers:
        while shut := await gate_shut(cluster, follower):
            assert asyncio.get_running_loop().time() < end, f"the gate of {follower} stays shut: {shut}"
            await asyncio.sleep(0.05)


async def gate_shut(cluster: Cluster, follower: str) -> str | None:
    url = f"http://{ports.LOOPBACK}:{cluster.ports[follower]}/gate"
    try:
        shut: str | None = (await cluster.http.get(url)).json()["shut"]
    except httpx.TransportError:  # a connection that idled until the server closed it
        return "not answered"
    return shut


async def settle(
    cluster: Cluster,
    driver: Driver,
    followers: Iterable[str],
    seconds: float = SETTLED_SECONDS,
    *,
    hopeless_seconds: float = math.inf,
) -> None:
    """Wait until nothing is on its way. Returns after `seconds` all the same: the checks say what is stuck; and when
    for `hopeless_seconds` nothing has moved and the same was wrong, as where a bug was planted.
    """
    followers, time = list(followers), asyncio.get_running_loop().time
    end, since = time() + seconds, time()
    calm = 0
    before_state: object = None
    consumer = kafka.consumer(cluster.stack.kafka.bootstrap)
    await consumer.start()
    try:
        ends: Ends = {}
        while calm < 4 and time() < min(end, since + hopeless_seconds):
            await asyncio.sleep(0.5)
            moving = (await _marks(cluster), await _untaken(cluster, ends))
            found = [] if any(moving) else await _wrong(cluster, driver, followers)
            if (moving, found) != before_state:
                before_state, since = (moving, found), time()
            try:
                before, ends = ends, await _ends(consumer)
            except kafka.KafkaError:  # a broker that is too busy to answer is not at rest
                before = {}
            calm = 0 if any(moving) or found or not before else calm + 1
    finally:
        await consumer.stop()


async def _wrong(cluster: Cluster, driver: Driver, followers: list[str]) -> list[str]:
    return [*await acknowledged_are_kept(cluster, driver), *await stores_equal(cluster, followers)]


async def _ends(consumer: Any) -> Ends:
    """Of all topics."""
    topics = await consumer.topics()
    places = [kafka.TopicPartition(topic, n) for topic in topics for n in range(PARTITIONS)]
    return {tuple(place): end for place, end in (await kafka.end_offsets(consumer, places)).items()}


async def _untaken(cluster: Cluster, ends: Ends) -> list[str]:
    """Inputs of which a service has not taken in all that stood there. A group that lost a member reads nothing for
    a while, and without this it would seem to rest.
    """
    found = []
    for service, dsn in cluster.services.dsns.items():
        connection = await asyncpg.connect(dsn)
        try:
            taken = {(row["topic"], row["partition"]): row["offset"] for row in await connection.fetch(TAKEN)}
        finally:
            await connection.close()
        read = {topic for topic, _ in taken}
        found += [
            f"{service}: {place} is not taken in"
            for place, upto in ends.items()
            if place[0] in read and taken.get(place, 0) < upto
        ]
    return found


async def _marks(cluster: Cluster) -> int:
    """How many records are still to be published, by all three services."""
    count = 0
    for dsn in cluster.services.dsns.values():
        connection = await asyncpg.connect(dsn)
        try:
            count += await connection.fetchval(BACKLOG)
        finally:
            await connection.close()
    return count


async def stores_equal(cluster: Cluster, followers: Iterable[str]) -> list[str]:
    """Each subscriber's store against the records of its party at the primary, one by one."""
    found: list[str] = []
    consents = await asyncpg.connect(cluster.services.dsns["consents"])
    try:
        for follower in followers:
            held = await stored(cluster.stores[follower])
            found += differences(follower, await primary(consents, cluster.party(follower)), held)
    finally:
        await consents.close()
    return found


async def stored(dsn: str) -> dict[str, HeldPermission]:
    """What a subscriber's own table holds, around its gate."""
    connection = await asyncpg.connect(dsn)
    try:
        held = {}
        for row in await connection.fetch(STORED):
            record = json.loads(row["record"]) if row["record"] else {}
            allowed = "unreadable" if row["unreadable"] else allows(record.get("points", []))
            held[row["id"]] = HeldPermission((row["epoch"], row["n"]), record.get("status", "live"), allowed)
        return held
    finally:
        await connection.close()


async def acknowledged_are_kept(cluster: Cluster, driver: Driver) -> list[str]:
    """Each decision that was acknowledged, over HTTP or by a company's spool, is among the primary's.

    A company's *yes* may be refused by its content, and is then in quarantine; a *no* never.
    """
    consents = await asyncpg.connect(cluster.services.dsns["consents"])
    try:
        known = {row["id"] for row in await consents.fetch(DECIDED)}
    finally:
        await consents.close()
    return [
        f"step {index} ({via}) was acknowledged as {ident}, and is lost"
        for index, (via, ident) in sorted(driver.acknowledged.items())
        if (ident if via == "http" else decision_id(f"company.{via}", ident)) not in known
        and not (via != "http" and index in driver.yeses)
    ]
