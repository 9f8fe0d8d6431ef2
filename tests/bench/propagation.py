"""A ban's way: POST sent -> applied in the PostgreSQL of each of five subscribers, beside a bare path in the same run.

Fixed rate, rounds interleaved: so many bans the bare way, as many the product's. Then rounds with a bulk import beside.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.local import keys, ports, token
from deploy.local.paths import ROOT
from deploy.local.servers.processes import Process
from deploy.local.servers.stack import Stack
from deploy.local.services import Services
from kielto.service.support.crypto_keys import Keys
from tests.bench.propagation_bare import TABLES

GOALS = {"p50_ratio": 1.5, "p99_ratio": 2.0, "import_p99_ratio": 3.0}
SUBSCRIBERS = (
    ("kauppa", "crm"),
    ("kauppa", "mail"),
    ("liittyma", "crm"),
    ("sahko", "crm"),
    ("sahko", "mail"),
)
BANS, PER_SECOND = 100, 10.0
IMPORTED, BEFORE = 4_000, 10
"""Customers whom the import beside a round brings: each round others. It begins amid bans, after so many."""
BEAT_SECONDS = 1.0


def measure(rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="kielto-bench-") as name, Stack(Path(name) / "stack") as stack:
        return asyncio.run(_measure(stack, Path(name), rounds))


async def _measure(stack: Stack, folder: Path, rounds: int) -> dict[str, float]:
    with _product(stack, folder) as product, _bare(stack, folder) as bare:
        total = BANS * (rounds + 1) + (BANS + BEFORE) * rounds
        await product.prepare(total)
        await _analyse(stack)
        ours: list[list[float]] = []
        floor: list[list[float]] = []
        for number in range(1, rounds + 1):
            floor.append(await bare.bans())
            ours.append(await product.bans())
            _say(f"round {number} of {rounds}: bare {_told(floor[-1])}, ours {_told(ours[-1])}")
        loaded: list[list[float]] = []
        rates: list[float] = []
        for number in range(1, rounds + 1):
            await product.bans(BEFORE)
            importing = asyncio.create_task(
                product.bring(product.count + 1_000_000 + IMPORTED * number, IMPORTED)
            )
            await asyncio.sleep(0.5)
            rows, began = product.imported, time.monotonic()
            loaded.append(await product.bans())
            rates.append((product.imported - rows) / (time.monotonic() - began))
            if importing.done():
                raise RuntimeError("the import was over before the bans were: IMPORTED is too small")
            await importing
            _say(f"round {number} of {rounds}, {rates[-1]:.0f} rows/s beside: ours {_told(loaded[-1])}")
    p50, p99 = _middle(ours, 50), _middle(ours, 99)
    return {
        "p50_ms": round(p50, 2),
        "p99_ms": round(p99, 2),
        "bare_p50_ms": round(_middle(floor, 50), 2),
        "bare_p99_ms": round(_middle(floor, 99), 2),
        "p50_ratio": round(p50 / _middle(floor, 50), 2),
        "p99_ratio": round(p99 / _middle(floor, 99), 2),
        "import_p99_ms": round(_middle(loaded, 99), 2),
        "import_p99_ratio": round(_middle(loaded, 99) / p99, 2),
        "bans_per_second": PER_SECOND,
        "import_rows_per_second": round(statistics.median(rates)),
    }


async def _analyse(stack: Stack) -> None:
    """What autovacuum does within a minute, for all databases of both ways: the planner knows how large tables are."""
    connection = await asyncpg.connect(stack.postgres.dsn())
    names = await connection.fetch("SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate")
    await connection.close()
    for (name,) in names:
        connection = await asyncpg.connect(stack.postgres.dsn(name))
        await connection.execute("ANALYZE")
        await connection.close()


class BenchSide:
    """One of the two ways: how to give a ban, and where the times of its application are written."""

    def __init__(self, times: Path, give: Callable[[int], Awaitable[list[tuple[str, str]]]]) -> None:
        self._times, self._give, self._next = times, give, 0

    async def bans(self, count: int = BANS) -> list[float]:
        """So many at PER_SECOND; by ban, ms from POST sent to applied at the last of the five."""
        sent: dict[tuple[str, str], tuple[int, float]] = {}
        start, began = self._times.stat().st_size, time.monotonic()
        for turn in range(count):
            await asyncio.sleep(max(0.0, began + turn / PER_SECOND - time.monotonic()))
            at = time.monotonic()
            for place in await self._give(self._next):
                sent[place] = (turn, at)
            self._next += 1
        taken: dict[int, dict[str, float]] = {turn: {} for turn in range(count)}
        end = time.monotonic() + 30
        while any(len(of) < len(SUBSCRIBERS) for of in taken.values()):
            if time.monotonic() > end:
                raise TimeoutError("a ban did not arrive within 30 s")
            await asyncio.sleep(0.05)
            with self._times.open() as lines:
                lines.seek(start)
                for who, key, at in (json.loads(line) for line in lines if line.endswith("\n")):
                    if (who, key) in sent:
                        turn, since = sent[who, key]
                        taken[turn].setdefault(who, (at - since) * 1000)
        return [max(of.values()) for of in taken.values()]


class Product(BenchSide):
    """The product's side also has customers."""

    def __init__(self, services: Services, times: Path) -> None:
        super().__init__(times, self._ban)
        self._services, self.count = services, 0
        self.imported = 0
        """Rows so far."""
        self._http = httpx.AsyncClient(timeout=60)
        self._bearer = {"Authorization": f"Bearer {token.issue(token.ROLES, subject='bench')}"}
        self._keys = Keys.load(services.keys_folder / "services.keys.json")
        self._ids: list[UUID] = []

    async def prepare(self, customers: int) -> None:
        await self.bring(0, customers)
        self.count = customers
        path = f"{self._services.url('consents')}/customers/{self._ids[-1]}/permissions"
        async with asyncio.timeout(120):
            while (await self._http.get(path, headers=self._bearer)).status_code != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.2)
        await asyncio.sleep(5)

    async def bring(self, first: int, count: int) -> None:
        """Import so many customers, who are known to all three companies."""
        ids: dict[int, str] = {}
        for company in ("kauppa", "liittyma", "sahko"):
            rows = "".join(json.dumps(_row(n, company)) + "\n" for n in range(first, first + count))
            url = f"{self._services.url('customers')}/imports?company={company}"
            headers = {**self._bearer, "Content-Type": "application/x-ndjson"}
            request = self._http.stream("POST", url, content=rows, headers=headers, timeout=600)
            async with request as response:
                async for line in response.aiter_lines():
                    told = json.loads(line)
                    if "id" in told:
                        ids[told["row"] - 1] = told["id"]
                        self.imported += 1
        if first == 0:
            self._ids = [UUID(ids[n]) for n in range(count)]

    async def _ban(self, number: int) -> list[tuple[str, str]]:
        customer = self._ids[number]
        body = {"subject": {"customer": str(customer)}, "act": "ban", "by": "person", "route": "self_service"}
        url = f"{self._services.url('consents')}/decisions"
        response = await self._http.post(url, json=body, headers=self._bearer)
        response.raise_for_status()
        return [(f"{c}-{s}", self._keys.pairwise(f"company.{c}", customer)) for c, s in SUBSCRIBERS]


@contextmanager
def _product(stack: Stack, folder: Path) -> Iterator[Product]:
    group = yaml.safe_load((ROOT / "group.yaml").read_text(encoding="utf-8"))
    group["beat_seconds"] = BEAT_SECONDS
    group["subscribers"] = [
        {
            "id": f"{c}-{s}",
            "party": f"company.{c}",
            "name": f"{c} {s}",
            "deadline_seconds": 60,
            "stale_seconds": 30,
        }
        for c, s in SUBSCRIBERS
    ]
    group_file = folder / "group.yaml"
    group_file.write_text(yaml.safe_dump(group, allow_unicode=True), encoding="utf-8")
    with Services(stack, folder / "product", group_file=group_file) as services:
        plan = folder / "followers.json"
        subscribers = []
        for company, system in SUBSCRIBERS:
            own = json.loads(keys.party_file(services.keys_folder, f"company.{company}").read_text())
            name = f"{company}-{system}"
            subscribers.append(
                {
                    "id": name,
                    "party": f"company.{company}",
                    "point_keys": own["point_keys"],
                    "dsn": stack.postgres.create_database(f"bench_{company}_{system}"),
                    "spool": str(folder / f"{name}.spool"),
                }
            )
        plan.write_text(
            json.dumps({"bootstrap": stack.kafka.bootstrap, "stale_seconds": 30, "subscribers": subscribers})
        )
        command = [sys.executable, "-m", "tests.bench.propagation_followers", str(plan)]
        process = Process("followers", command, folder / "followers.log")
        process.start()
        process.wait_until(plan.with_suffix(".ready").exists)
        try:
            yield Product(services, plan.with_suffix(".times"))
        finally:
            process.stop()


@contextmanager
def _bare(stack: Stack, folder: Path) -> Iterator[BenchSide]:
    port, dsn = ports.free_port(), stack.postgres.create_database("bench_bare")
    file, times = folder / "bare.json", folder / "bare.times"
    times.touch()
    followers = [
        {
            "id": f"{company}-{system}",
            "topic": f"bare.{company}",
            "dsn": stack.postgres.create_database(f"bench_bare_{company}_{system}"),
        }
        for company, system in SUBSCRIBERS
    ]
    plan = {
        "dsn": dsn,
        "port": port,
        "bootstrap": stack.kafka.bootstrap,
        "times": str(times),
        "followers": followers,
    }
    file.write_text(json.dumps(plan))
    _run_in_thread(_bare_ground(plan))
    command = [sys.executable, "-m", "tests.bench.propagation_bare"]
    processes = [
        Process(f"bare {part}", [*command, part, str(file)], folder / f"bare-{part}.log")
        for part in ("followers", "relay", "api")
    ]
    http = httpx.AsyncClient(timeout=60)

    async def give(number: int) -> list[tuple[str, str]]:
        key = f"{number:064x}"
        await http.post(f"http://{ports.LOOPBACK}:{port}/", json={"key": key, "act": "ban", "pad": "x" * 300})
        return [(f"{c}-{s}", key) for c, s in SUBSCRIBERS]

    try:
        for process in processes:
            process.start()
        processes[-1].wait_until(lambda: _listens(port))
        yield BenchSide(times, give)
    finally:
        for process in processes:
            process.stop()


async def _bare_ground(plan: dict[str, Any]) -> None:
    conn = await asyncpg.connect(plan["dsn"])
    await conn.execute(TABLES)
    await conn.close()
    admin = AIOKafkaAdminClient(bootstrap_servers=plan["bootstrap"])
    await admin.start()
    names = sorted({one["topic"] for one in plan["followers"]})
    await admin.create_topics([NewTopic(name, num_partitions=6, replication_factor=1) for name in names])
    await admin.close()


def _run_in_thread(work: Any) -> None:
    """The caller is inside a running loop."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex((ports.LOOPBACK, port)) == 0


def _row(number: int, company: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "number": f"B{number:07d}",
        "name": f"Person {number}",
        "points": [
            {"kind": "email", "value": f"person{number}@example.com"},
            {"kind": "phone", "value": f"+35840{number % 10_000_000:07d}"},
        ],
    }
    if company != "kauppa":
        row["same_as"] = {"company": "kauppa", "number": row["number"]}
    return row


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def _middle(rounds: list[list[float]], percent: int) -> float:
    """The median over the rounds, of each round's percentile."""
    return statistics.median(_percentile(values, percent) for values in rounds)


def _told(values: list[float]) -> str:
    return f"p50 {_percentile(values, 50):.1f} ms, p99 {_percentile(values, 99):.1f} ms"


def _say(text: str) -> None:
    print(text, file=sys.stderr)
