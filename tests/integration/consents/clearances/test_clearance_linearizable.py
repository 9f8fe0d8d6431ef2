"""64 clients over HTTP, opposite decisions and clearances of the same few people: each person is one register.

A clearance is judged harder than by when it was asked and answered: what it allows has to have been true at the very
time that its record carries, since that is what the record is proof of; what it denies, then or later.
"""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import httpx
import pytest

from kielto.service.database.pool import Conn, Pool
from kielto.service.http.server import HttpServer
from kielto.service.process.application import Health, create_app
from kielto.service.support.limits import Limits
from services.consents.api.clearances import clearances
from services.consents.api.decisions import decisions
from services.consents.store import clearances as store
from services.consents.use_cases.context import Context
from tests.integration.consents.linear import Op, linearizable
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.tokens import PlainTokens, as_

CLIENTS, ROUNDS, PEOPLE = 64, 5, 8
MARKETING = {"reach": "company", "company": "kauppa", "purposes": ["own_marketing"], "channels": ["phone"]}
CLOCKS_APART = 0.001


class ClearanceHistory:
    """What each client did, on the monotonic clock; by person, and by clearance that was recorded."""

    def __init__(self) -> None:
        self.people: dict[str, list[Op]] = {}
        self.clearances: dict[str, list[Op]] = {}
        self.looked: list[tuple[str, str, float, float, bool]] = []
        """(clearance, person, sent, answered, allowed)"""

    def broken(self) -> list[str]:
        """Whose history cannot be explained."""
        both = self.people | self.clearances
        return [name for name, ops in both.items() if not linearizable(ops)]


class ClearanceClient:
    def __init__(
        self, http: httpx.AsyncClient, history: ClearanceHistory, keys: dict[str, str], seed: int
    ) -> None:
        self.http, self.history, self.keys, self.rng = http, history, keys, random.Random(seed)
        self.seed = seed

    async def run(self) -> None:
        for step in range(ROUNDS):
            if self.rng.random() < 0.25:
                await self.change(self.rng.choice(list(self.keys)))
            else:
                await self.clear(f"c{self.seed}.{step}", self.rng.sample(list(self.keys), 3))

    async def change(self, who: str) -> None:
        """A ban, and soon its lifting; in between nobody may be cleared."""
        ban = await self._decide(who, "ban", [], lambda ident: {"adds": ident})
        await asyncio.sleep(0.1 * self.rng.random())
        await self._decide(who, "lifting", [ban], lambda _: {"takes": ban})

    async def _decide(
        self, who: str, act: str, lifts: list[str], effect: Callable[[str], dict[str, Any]]
    ) -> str:
        body = {"subject": {"customer": who}, "act": act, "lifts": lifts, **MARKETING}
        sent, answer = time.monotonic(), await self.http.post("/consents/decisions", json=body)
        assert answer.status_code == 201, answer.text
        ident = str(answer.json()["decision"])
        self.history.people.setdefault(who, []).append(Op(sent, time.monotonic(), **effect(ident)))
        return ident

    async def clear(self, campaign: str, people: list[str]) -> None:
        recipients = [{"customer": self.keys[who]} for who in people]
        body = {
            "campaign": campaign,
            "purpose": "own_marketing",
            "channel": "phone",
            "recipients": recipients,
        }
        headers = as_("campaigns@kauppa")
        sent, answer = (
            time.monotonic(),
            await self.http.post("/consents/clearances", json=body, headers=headers),
        )
        answered = time.monotonic()
        assert answer.status_code == 200, answer.text
        found = answer.json()
        for who, result in zip(people, found["results"], strict=True):
            self.history.looked.append((found["id"], who, sent, answered, result["allowed"]))
        record = self.history.clearances.setdefault(found["id"], [Op(sent, answered, adds="record")])
        search = {
            "campaign": campaign,
            "channel": "phone",
            "at": datetime.now(UTC).isoformat(),
            "recipient": recipients[0],
        }
        sent = time.monotonic()
        answer = await self.http.post("/consents/clearances/search", json=search, headers=headers)
        record.append(Op(sent, time.monotonic(), saw_empty=not answer.json()["clearances"]))


@pytest.fixture
async def server(pool: Pool, context: Context) -> AsyncIterator[str]:
    """consents' own HTTP server, on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    routers = [clearances.router(context), decisions.router(context)]
    front = HttpServer("127.0.0.1", port, Limits())
    front.give(
        create_app("consents", routers, pool=pool, verifier=PlainTokens(), health=Health(claimed=True))
    )
    yield f"http://127.0.0.1:{port}"
    await front.end()


@pytest.fixture
def run(server: str, world: ConsentsWorld, pool: Pool) -> Callable[[], Awaitable[ClearanceHistory]]:
    return partial(_run, server, world, pool)


async def _run(server: str, world: ConsentsWorld, pool: Pool) -> ClearanceHistory:
    people = [Someone() for _ in range(PEOPLE)]
    await world.know(*people)
    keys = {str(who.id): world.key("company.kauppa", who) for who in people}
    history = ClearanceHistory()
    before = time.monotonic() - time.time()
    limits = httpx.Limits(max_connections=CLIENTS)
    async with httpx.AsyncClient(base_url=server, headers=as_("desk"), limits=limits, timeout=60) as http:
        await asyncio.gather(*(ClearanceClient(http, history, keys, seed).run() for seed in range(CLIENTS)))
    offsets = (before, time.monotonic() - time.time())
    to_monotonic = min(offsets) - CLOCKS_APART
    apart = max(offsets) - min(offsets) + 2 * CLOCKS_APART
    await asyncio.sleep(0.5)  # for records that come late
    recorded = {str(r["id"]): r["at"].timestamp() for r in await pool.fetch("SELECT id, at FROM clearances")}
    for clearance, who, sent, answered, allowed in history.looked:
        begin = min(max(sent, recorded[clearance] + to_monotonic), answered)
        # What it allows was true at that very time: the lock sees to it. What it denies may have been decided since.
        end = min(begin + apart, answered) if allowed else answered
        history.people.setdefault(who, []).append(Op(begin, end, saw_empty=allowed))
    return history


async def test_every_history_is_linearizable(run: Callable[[], Awaitable[ClearanceHistory]]) -> None:
    history = await run()
    seen = [op.saw_empty for ops in history.people.values() for op in ops if op.saw_empty is not None]
    assert 0.1 < sum(seen) / len(seen) < 0.9, "both answers were given"
    assert len(seen) > CLIENTS
    assert history.broken() == []


async def test_a_clearance_that_is_answered_before_its_record_commits_is_found(
    run: Callable[[], Awaitable[ClearanceHistory]], pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = store.add
    late = set[asyncio.Task[None]]()

    async def planted(_: Conn, *record: Any) -> None:
        async def later() -> None:
            await asyncio.sleep(0.05)
            async with pool.acquire() as conn:
                await add(conn, *record)

        late.add(asyncio.create_task(later()))

    monkeypatch.setattr(store, "add", planted)
    history = await run()
    await asyncio.gather(*late)
    assert set(history.broken()) & history.clearances.keys()


async def test_a_clearance_that_is_read_without_the_lock_is_found(
    run: Callable[[], Awaitable[ClearanceHistory]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_LOCK", store._LOCK.replace("FOR SHARE", ""))
    slowly(monkeypatch)
    for _ in range(3):  # chance decides whether a clearance and a decision meet
        history = await run()
        if not history.people.keys().isdisjoint(history.broken()):
            return
    pytest.fail("not found")


async def test_with_the_lock_the_same_slowness_breaks_nothing(
    run: Callable[[], Awaitable[ClearanceHistory]], monkeypatch: pytest.MonkeyPatch
) -> None:
    slowly(monkeypatch)
    assert (await run()).broken() == []


def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the time that is recorded and the reading there is time for a decision."""
    load = store.load

    async def planted(*asked: Any) -> store.ClearanceHolders:
        await asyncio.sleep(0.1)
        return await load(*asked)

    monkeypatch.setattr(store, "load", planted)


def test_the_search_tells_histories_apart() -> None:
    ban, lifting = Op(1, 2, adds="b"), Op(5, 6, takes="b")
    assert linearizable([ban, lifting, Op(0, 0.5, saw_empty=True), Op(3, 4, saw_empty=False)])
    assert not linearizable([ban, lifting, Op(3, 4, saw_empty=True)])
    assert not linearizable([ban, lifting, Op(7, 8, saw_empty=False)])
    assert linearizable([ban, Op(1.5, 3, saw_empty=True)])
    assert linearizable([ban, Op(0, 1.5, saw_empty=False)])
    one_after_other = [Op(1, 10, adds="b"), Op(2, 3, saw_empty=False), Op(4, 5, saw_empty=True)]
    assert not linearizable(one_after_other), "a person who was seen as banned is not free again"
    assert linearizable([*one_after_other, Op(1, 10, takes="b")])
    two = [Op(1, 2, adds="b"), Op(1, 2, adds="c"), Op(3, 4, takes="b")]
    assert not linearizable([*two, Op(5, 6, saw_empty=True)])
    assert linearizable([*two, Op(5, 6, takes="c"), Op(5, 6, saw_empty=True), Op(5, 6, saw_empty=False)])
