"""The three services in one process, as their composition roots build them, with real databases and the log of `log.py`
between them. Nothing runs by itself: `settle` does whatever there is to do, so that two worlds go through the same.
"""

import asyncio
import random
import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import httpx
import orjson
import pytest
from asyncpg.connection import LoggedQuery

import services.consents
import services.customers
import services.marketing
from deploy.local.servers.postgres import Postgres
from deploy.local.servers.stack import Stack
from kielto.events.topics import PARTITIONS, Lane
from kielto.group import Company, Controller, Group, Partner, SubscriberSystem
from kielto.service.database import pool as postgres
from kielto.service.database.pool import Pool
from kielto.service.http.auth import Caller, Verifier
from kielto.service.inbox.input_freshness import InputFreshness
from kielto.service.inbox.transactional import Intake
from kielto.service.outbox import pending
from kielto.service.process.application import Health, create_app
from kielto.service.process.platform import Platform, Service
from kielto.service.process.running import operations_of, routers_of
from kielto.service.support.bulk_throttle import NOBODY
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.limits import Limits
from kielto.service.support.settings import ServiceSettings
from services.consents import app as consents
from services.consents.consumers.subscriptions import deciding_again
from services.consents.store.permissions.locks import SubjectsMovedError
from services.consents.use_cases import breaches
from services.consents.use_cases.context import Context
from services.consents.use_cases.decision_log import append
from services.consents.use_cases.decisions import wait
from services.consents.use_cases.permissions import portions
from services.consents.use_cases.propagation import live_feed, reconcile
from services.customers import app as customers
from services.customers.store import writing
from services.marketing import app as marketing
from services.marketing.use_cases.build_audience import address_next
from tests.conftest import Migrated
from tests.databases import copy_database, drop_database
from tests.integration.isolation.log import Ends, MemoryLog, topic_id

COMPANIES = ("alfa", "beta", "gamma")
BUILD: dict[str, Callable[[Platform], Service]] = {
    "customers": customers.build,
    "consents": consents.build,
    "marketing": marketing.build,
}
_PACKAGES = (services.customers, services.consents, services.marketing)
MIGRATIONS = {p.__name__.split(".")[1]: Path(p.__file__ or "").parent / "migrations" for p in _PACKAGES}
GROUP = Group(
    revision=1,
    controller=Controller(name="x", business_id="9912345-6", contact="x"),
    companies=tuple(Company(id=c, name=c.title(), product_groups=("goods", "power")) for c in COMPANIES),
    partners=(
        Partner(id="own", name="Of beta alone", of=("beta",)),
        Partner(id="common", name="Of all", of=COMPANIES),
    ),
    subscribers=(
        *(SubscriberSystem(id=f"{c}-crm", party=f"company.{c}", name="CRM") for c in COMPANIES),
        SubscriberSystem(id="own-crm", party="partner.own", name="CRM"),
    ),
)


class CompanyTokens(Verifier):
    """`alfa` is a token of that company with every role, `group` one of the whole group."""

    def __init__(self) -> None:
        pass

    async def verify(self, token: str) -> Caller:
        roles = frozenset(("desk", "dpo", "operator", "campaigns", "register"))
        return Caller(f"someone of {token}", roles, None if token == "group" else token)


@dataclass
class Seeded:
    """Ids that are drawn, the same in every world: anew for each step, so that one more in one world moves none of
    those after it.
    """

    seed: str
    drawing: random.Random = field(default_factory=random.Random)
    step: int = 0
    drawn: int = 0

    def begin(self, step: int) -> None:
        self.step, self.drawn = step, 0
        self.drawing.seed(f"{self.seed}/{step}")

    def bytes(self, count: int) -> bytes:
        return self.drawing.randbytes(count)

    def rising(self) -> UUID:
        """As uuidv7() does."""
        self.drawn += 1
        high = (0x0190 << 32 | self.step << 12 | self.drawn) << 80
        return UUID(int=high | 7 << 76 | 2 << 62 | self.drawing.getrandbits(62))


@contextmanager
def drawing(seeded: Seeded) -> Iterator[None]:
    """Whatever draws an id in this process draws it from `seeded`."""
    real = writing.new_ids

    async def new_ids(conn: postgres.Conn, count: int) -> list[UUID]:
        await real(conn, count)  # the statements stay what they are
        return [seeded.rising() for _ in range(count)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(uuid, "os", SimpleNamespace(urandom=seeded.bytes))
        patch.setattr(writing, "new_ids", new_ids)
        yield


class CompanyPart:
    """One service: its database, its application, its handlers."""

    def __init__(self, name: str, made: "Database", service: Service, client: httpx.AsyncClient) -> None:
        self.name, self.pool, self.service, self.http = name, made.pool, service, client
        self.statements = made.statements
        self.intakes: list[tuple[Intake, bool]] = []
        self.positions: dict[tuple[str, int], int] = {}

    async def relay(self, log: MemoryLog, keys: Keys) -> bool:
        """What both lanes would send now, as they would."""
        families = {family.name: family for family in self.service.families}
        async with self.pool.acquire() as conn:
            found = False
            for lane in Lane:
                marked, *_ = await pending.fetch(conn, lane, families, 0, 1000)  # type: ignore[arg-type]
                done = []
                for one in marked:
                    message = pending.message(one, lane, keys.decrypt_record)
                    topic, partition, key, value, headers = message
                    offset = log.append(topic, key, value, headers, partition)
                    done.append((one, offset))
                if done:
                    ids = {family.topic(lane): topic_id(family.topic(lane)) for family in families.values()}
                    await pending.published(conn, lane, done, ids)  # type: ignore[arg-type]
                    found = True
            rows = await conn.fetch("DELETE FROM reports RETURNING id, topic, key, value, headers")
            for row in sorted(rows, key=lambda r: r["id"]):
                headers = [(n, v.encode()) for n, v in orjson.loads(row["headers"])]
                log.append(row["topic"], row["key"].encode(), row["value"], headers)
            return found or bool(rows)

    async def consume(self, log: MemoryLog) -> bool:
        found = False
        for intake, batch in self.intakes:
            for partition in range(PARTITIONS):
                at = self.positions.get((intake.topic, partition), 0)
                records = log.since(intake.topic, partition, at)
                if not records:
                    continue
                found = True
                self.positions[intake.topic, partition] = at + len(records)
                for portion in [records] if batch else [[r] for r in records]:
                    await self._take(intake, portion, batch=batch)
        return found

    async def _take(self, intake: Intake, records: list[Any], *, batch: bool) -> None:
        for _ in range(20):
            try:
                await (intake.take_batch(records) if batch else intake.take(records[0]))
            except SubjectsMovedError:
                continue
            return
        raise AssertionError("never came to an end")


class IsolationWorld:
    def __init__(
        self,
        context: Context,
        log: MemoryLog,
        parts: dict[str, CompanyPart],
        watching: live_feed.Live,
        watchers: dict[str, live_feed.Watcher],
        listener: Any,
    ) -> None:
        self.context, self.keys, self.log, self.parts = context, context.keys, log, parts
        self.live, self.watchers, self._listener = watching, watchers, listener

    async def ask(
        self,
        who: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        service: str | None = None,
        **headers: str,
    ) -> tuple[httpx.Response, list[str]]:
        """The answer, and what the service's database was asked for it. `service`: whose port it is, if the path does
        not say.
        """
        part = self.parts[service or path.split("/")[1].partition("?")[0]]
        part.statements.clear()
        headers["Authorization"] = f"Bearer {who}"
        if isinstance(body, str):
            request = part.http.request(method, path, content=body, headers=headers)
        else:
            request = part.http.request(method, path, json=body, headers=headers)
        answer = await asyncio.create_task(request)  # a context of its own, as a request has
        return answer, part.statements.copy()

    async def settle(self) -> None:
        """Until there is nothing left to do."""
        marketing_pool = self.parts["marketing"].pool
        again = deciding_again(self.context)
        busy = True
        while busy:
            busy = False
            for part in self.parts.values():
                busy |= await part.relay(self.log, self.keys)
            for part in self.parts.values():
                busy |= await part.consume(self.log)
            busy |= await portions.work_off(self.context)
            busy |= await wait.work_off(self.context, again)
            busy |= await address_next(marketing_pool, self.keys, datetime.now(UTC))
        await self._look()

    async def late_work(self) -> None:
        """What happens every few seconds."""
        while await reconcile.compare_next(self.context):
            pass
        await breaches.detect(self.context)
        await append.append(self.context, self.keys.seal_key)
        await self.settle()

    async def _look(self) -> None:
        await self._listener.execute("SELECT 1")  # whatever was notified has come by then
        await self.live._look(self._listener)


_CONNECTIONS = 3
_DESCRIBED: dict[str, Any] = {}
"""Descriptions are the same in every world, and take half a second each."""


@dataclass
class Database:
    """`statements`: what it was asked."""

    dsn: str
    pool: Pool
    statements: list[str] = field(default_factory=list)

    def note(self, query: LoggedQuery) -> None:
        if "typeinfo" not in query.query and "jit" not in query.query:  # the driver's own, once a connection
            self.statements.append(query.query)


class DatabaseCopies:
    """Migrated databases, made for a world and dropped with it. `migrated` makes one of each to copy."""

    def __init__(self, postgres_server: Postgres, templates: Mapping[Path | None, str]) -> None:
        self._server, self._templates = postgres_server, templates

    @classmethod
    async def of(
        cls, stack: Stack, migrated: Migrated, templates: Mapping[Path | None, str]
    ) -> "DatabaseCopies":
        for name, folder in MIGRATIONS.items():
            await migrated(name, folder)
        return cls(stack.postgres, templates)

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[Database]:
        name = f"isolation_{name}_{secrets.token_hex(4)}"
        dsn = copy_database(self._server, self._templates[MIGRATIONS[name.split("_")[1]]], name)
        made = Database(dsn, await postgres.open_pool(dsn, name="test", size=_CONNECTIONS))
        try:
            every = [await made.pool.acquire() for _ in range(_CONNECTIONS)]
            for conn in every:
                conn.add_query_logger(made.note)
                await made.pool.release(conn)
            yield made
        finally:
            made.pool.terminate()
            drop_database(self._server, name)


@asynccontextmanager
async def world(copies: DatabaseCopies, keys: Keys, limits: Limits) -> AsyncIterator[IsolationWorld]:
    async with AsyncExitStack() as stack:
        made = {name: await stack.enter_async_context(copies.database(name)) for name in BUILD}
        log, context = MemoryLog(), _context(made["consents"].pool, keys, limits)
        watching = live_feed.Live(context)
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr(consents, "TopicEnds", lambda _settings: Ends(log))
        parts = {name: await _part(name, made[name], keys, limits) for name in BUILD}
        for part in parts.values():
            stack.push_async_callback(part.http.aclose)
        listener = await postgres.connect(made["consents"].dsn, name="live")
        stack.push_async_callback(listener.close)
        await listener.add_listener("proof", watching._notified)
        watching._listening = True
        watchers = {c: stack.enter_context(watching.watch(f"company.{c}", None)) for c in COMPANIES}
        yield IsolationWorld(context, log, parts, watching, watchers, listener)


async def _part(name: str, made: Database, keys: Keys, limits: Limits) -> CompanyPart:
    await made.pool.execute("INSERT INTO epoch (epoch) VALUES (1)")
    settings = ServiceSettings(
        postgres_dsn=made.dsn,
        kafka_bootstrap="127.0.0.1:1",
        group_file=Path(),
        keys_file=Path(),
        http_port=0,
        jwks="",
        issuer="",
    )
    platform = Platform(
        settings,
        GROUP,
        keys,
        made.pool,
        made.pool,
        made.pool,
        CompanyTokens(),
        cast(InputFreshness, None),
        NOBODY,
        limits,
    )
    service = BUILD[name](platform)
    app = create_app(
        name,
        routers_of(name, platform, service),
        pool=made.pool,
        verifier=platform.verifier,
        health=Health(claimed=True),
        operations=operations_of(name, service),
        streamed=service.streamed,
        limits=limits,
        keys=keys,
    )
    app.openapi_schema = _DESCRIBED[name] = _DESCRIBED.get(name) or app.openapi()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    part = CompanyPart(name, made, service, httpx.AsyncClient(transport=transport, base_url="http://test"))
    topics = {topic.name: topic for topic in GROUP.topics()}
    for subscription in service.subscriptions:
        intake = Intake(made.pool, topics[subscription.topic], subscription, keys.message_cipher)
        intake.topic_id = topic_id(subscription.topic)
        part.intakes.append((intake, subscription.batch))
    return part


def _context(pool: Pool, keys: Keys, limits: Limits) -> Context:
    return Context(pool, GROUP, keys, lambda: datetime.now(UTC), limits=limits)
