"""Who is late with what: over HTTP, for the whole group and for one company, page by page, and as it happens."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from kielto.service.database.pool import Pool
from kielto.service.process.application import Health, create_app
from kielto.service.support.limits import Limits
from services.consents.api.propagation import proof_live, proof_queries
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation import live_feed as live_module
from services.consents.use_cases.propagation.live_feed import FeedEvent, FeedState, Live
from services.consents.use_cases.propagation.overdue import Week
from tests.integration.consents.propagation.test_whereabouts import PARTY, PublicationLog, long_ago
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.tokens import PlainTokens, as_


@pytest.fixture
def log(world: ConsentsWorld) -> PublicationLog:
    return PublicationLog(world)


@pytest.fixture
async def live(pool: Pool, context: Context) -> AsyncIterator[Live]:
    live = Live(context)
    running = asyncio.create_task(live.run())
    yield live
    running.cancel()
    await asyncio.wait([running])


@pytest.fixture
async def http(pool: Pool, context: Context, live: Live) -> AsyncIterator[httpx.AsyncClient]:
    """By default a data protection officer of the whole group."""
    app = create_app(
        "consents",
        [proof_queries.router(context), proof_live.router(live, context)],
        pool=pool,
        verifier=PlainTokens(),
        health=Health(claimed=True),
    )
    headers = {"Authorization": "Bearer dpo"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test", headers=headers
    ) as client:
        yield client


async def get(http: httpx.AsyncClient, path: str, token: str = "dpo", **query: Any) -> Any:
    answer = await http.get(f"/consents/{path}", params=query, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_all_overdue_page_by_page(
    world: ConsentsWorld, log: PublicationLog, http: httpx.AsyncClient
) -> None:
    people = [Someone(("kauppa", "sahko")) for _ in range(5)]
    await world.know(*people)
    store, bans = uuid4(), []
    for n, who in enumerate(people):
        received_at = datetime.now(UTC) - timedelta(seconds=200 - n)
        bans.append((await world.decide(world.by_id(who), received_at=received_at)).decision.id)
        await log.publish(who)
    await log.acknowledge(store, 2)
    pages, after = [], None
    while True:
        page = await get(http, "proof/overdue", limit=2, **({"after": after} if after else {}))
        pages.append(page["decisions"])
        if (after := page["next"]) is None:
            break
    assert [UUID(d["decision"]) for page in pages for d in page] == bans, "each once, the oldest first"
    missing = [[at["subscriber"] for at in d["missing_at"]] for page in pages for d in page]
    assert missing[:2] == [["kauppa-mail", "sahko-crm"]] * 2, "the others' stores have the first two"
    assert missing[2:] == [["kauppa-crm", "kauppa-mail", "sahko-crm"]] * 3
    assert all(at["overdue_seconds"] > 130 for page in pages for d in page for at in d["missing_at"])
    one = await get(http, "subscribers/kauppa-crm/overdue")
    assert [UUID(d["decision"]) for d in one["decisions"]] == bans[2:]


async def test_a_company_sees_its_own_and_no_ids_of_others(
    world: ConsentsWorld, log: PublicationLog, http: httpx.AsyncClient
) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    ban = await long_ago(world, who)
    own = await long_ago(world, who, party=PARTY)
    page = await get(http, "proof/overdue", "dpo@kauppa", limit=1)
    assert page["decisions"][0]["decision"] is None
    assert str(ban) not in json.dumps(page)
    assert page["decisions"][0]["reference"] == world.keys.pairwise(PARTY, ban)
    assert {at["party"] for at in page["decisions"][0]["missing_at"]} == {PARTY}
    page = await get(http, "proof/overdue", "dpo@kauppa", after=page["next"])
    assert [d["decision"] for d in page["decisions"]] == [world.keys.pairwise(PARTY, own)]
    for path in ("subscribers/sahko-crm", "subscribers/sahko-crm/overdue", "subscribers/nobody"):
        answer = await http.get(f"/consents/{path}", headers={"Authorization": "Bearer dpo@kauppa"})
        assert (answer.status_code, answer.json()["type"]) == (404, "urn:kielto:problem:unknown-subscriber")
    answer = await http.get(
        "/consents/proof/propagation?company=sahko", headers={"Authorization": "Bearer dpo@kauppa"}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "proof/overdue?after=x",
        "proof/overdue?limit=0",
        "proof/overdue?limit=1001",
        "proof/propagation?first=2026-W60",
        "proof/propagation?first=9999-W01",
        "proof/propagation?first=2026-W01&last=2026-W20",
        "proof/propagation?first=2026-W02&last=2026-W01",
        "proof/propagation?company=nobody",
    ],
)
async def test_what_cannot_be_asked(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(f"/consents/{path}")
    assert answer.status_code == 422, answer.text


async def test_another_sealed_text_is_no_page(world: ConsentsWorld, http: httpx.AsyncClient) -> None:
    answer = await http.get("/consents/proof/overdue", params={"after": world.keys.encrypt(bytes(32))})
    assert answer.status_code == 422


async def test_a_desk_does_not_see_who_is_late(http: httpx.AsyncClient) -> None:
    for path in ("proof/overdue", "proof/propagation", "proof/live", "subscribers/kauppa-crm"):
        answer = await http.get(f"/consents/{path}", headers={"Authorization": "Bearer desk"})
        assert answer.status_code == 403


async def test_how_one_subscriber_stands(
    world: ConsentsWorld, log: PublicationLog, http: httpx.AsyncClient
) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    await log.publish(who)
    await long_ago(world, who)
    await log.publish(who)
    await log.acknowledge(store, 1)
    found = await get(http, "subscribers/kauppa-crm")
    assert (found["stores"], found["overdue"]) == (1, 1)
    assert [(i["store"], i["live"]) for i in found["instances"]] == [(str(store), True)]
    (first, *others) = found["partitions"]
    assert (first["partition"], first["applied"], first["published"], first["behind"]) == (0, 1, 2, 1)
    assert first["behind_since"] is not None
    assert all(p["behind"] == 0 for p in others)


async def test_how_long_decisions_took(
    world: ConsentsWorld, log: PublicationLog, http: httpx.AsyncClient
) -> None:
    old, young = uuid4(), uuid4()
    begin = datetime.now(UTC) - timedelta(minutes=10)
    await log.acknowledge(old, 0, at=begin)
    people = [Someone() for _ in range(4)]
    await world.know(*people)
    for n, who in enumerate(people):
        received_at = begin + timedelta(seconds=n)
        await world.decide(world.by_id(who), received_at=received_at)
        offset = await log.publish(who)
        await log.acknowledge(old, offset + 1, at=received_at + timedelta(seconds=n + 1))
    # A store that came later took everything by a backfill: that says nothing of how fast decisions travel.
    await log.acknowledge(young, 4)
    # One that has not come to have the last ones, by its death, is not waited for.
    week = Week.of(begin)
    found = (await get(http, "proof/propagation", first=str(week)))["weeks"]
    assert [(f["party"], f["subscriber"], f["decisions"]) for f in found] == [
        (PARTY, None, 4),
        (PARTY, "kauppa-crm", 4),
    ]
    assert [found[0][p] for p in ("p50", "p95", "p99", "max")] == [2.0, 4.0, 4.0, 4.0]
    assert (await get(http, "proof/propagation", first="2020-W01"))["weeks"] == []


async def told(watcher: live_module.Watcher, number: int) -> list[FeedEvent]:
    found = []
    for _ in range(number):
        one = await watcher.next(10)
        assert one is not None
        found.append(one)
    return found


async def test_live_from_accepted_to_complete(world: ConsentsWorld, log: PublicationLog, live: Live) -> None:
    who = Someone()
    await world.know(who)
    with live.watch(None, None) as watcher, live.watch("company.sahko", None) as other:
        await watching(world.pool)
        ban = (await world.decide(world.by_id(who), party=PARTY)).decision.id
        (accepted,) = await told(watcher, 1)
        assert (accepted.decision, accepted.state) == (ban, FeedState.ACCEPTED)
        offset = await log.publish(who)
        at = datetime.now(UTC) + timedelta(seconds=1)
        await log.acknowledge(uuid4(), offset + 1, at=at)
        (applied,) = await told(watcher, 1)
        assert (applied.state, applied.subscriber, applied.at) == (FeedState.APPLIED, "kauppa-crm", at)
        await log.acknowledge(uuid4(), offset, subscriber="kauppa-crm")
        (back,) = await told(watcher, 1)
        assert (back.state, back.subscriber) == (FeedState.TAKEN_BACK, "kauppa-crm"), "another store has not"
        rows = await world.pool.fetch("SELECT generation FROM instances")
        for store in [row["generation"] for row in rows]:
            await log.acknowledge(store, offset + 1)
        await log.acknowledge(uuid4(), offset + 1, subscriber="kauppa-mail")
        states = [t.state for t in await told(watcher, 3)]
        assert states == [FeedState.APPLIED, FeedState.APPLIED, FeedState.COMPLETE]
        with pytest.raises(TimeoutError):
            await other.next(0.3)
        with live.watch(None, live.ident(accepted, None)) as again:
            assert (await told(again, 5))[0].state is FeedState.APPLIED
        with live.watch(None, "0badc0de-3") as lost:
            assert [t.state for t in await told(lost, 1)] == [FeedState.GAP]


async def watching(pool: Pool) -> None:
    async with asyncio.timeout(10):
        while not await pool.fetchval(  # noqa: ASYNC110
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        ):
            await asyncio.sleep(0.02)


async def test_live_over_http(
    world: ConsentsWorld, http: httpx.AsyncClient, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof_live, "STREAM_SECONDS", 1.5)
    who = Someone()
    await world.know(who)
    asked = asyncio.create_task(
        http.get("/consents/proof/live", headers={"Authorization": "Bearer dpo@kauppa"})
    )
    await watching(world.pool)
    await world.decide(world.by_id(who))
    own = (await world.decide(world.by_id(who), party=PARTY)).decision.id
    answer = await asked
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(row[6:]) for row in answer.text.splitlines() if row.startswith("data: ")]
    assert [(e["state"], e["decision"]) for e in events] == [("accepted", world.keys.pairwise(PARTY, own))]
    assert "event: accepted\n" in answer.text


async def test_ids_of_events_tell_a_company_nothing_of_others(
    world: ConsentsWorld, pool: Pool, context: Context
) -> None:
    """Hidden events between two of one's own neither show in their ids nor break resuming."""
    live = Live(context)
    told = [
        FeedEvent(n, uuid4(), party, FeedState.ACCEPTED, None, sees="*")
        for n, party in enumerate((PARTY, "company.sahko", "company.sahko", PARTY), start=1)
    ]
    live._told.extend(told)
    live._count = len(told)
    own = [live.ident(told[n], PARTY) for n in (0, 3)]
    assert all(re.fullmatch("[0-9a-f]{64}", ident) for ident in own)
    assert own[0][:8] != own[1][:8]
    assert live.ident(told[0], "company.sahko") not in own
    with live.watch(PARTY, own[0]) as watcher:
        again = await watcher.next(1)
    assert again is not None
    assert again.number == 4, "nothing is told twice, nothing is left out"
    for foreign in (live.ident(told[0], "company.sahko"), live.ident(told[0], None), "1-1", "0" * 64):
        with live.watch(PARTY, foreign) as watcher:
            first = await watcher.next(1)
        assert first is not None
        assert first.state is FeedState.GAP


async def test_nobody_is_said_to_watch_before_anything_would_be_told(pool: Pool, context: Context) -> None:
    live = Live(context)
    with live.watch(None, None) as watcher:
        with pytest.raises(TimeoutError):
            await watcher.begun(0.2)
        running = asyncio.create_task(live.run())
        await watcher.begun(10)
        said = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"
        assert await pool.fetchval(said) == 1
        with live.watch(None, None) as second:
            await second.begun(0)
    running.cancel()
    await asyncio.wait([running])
    with live.watch(None, None) as late, pytest.raises(TimeoutError):
        await late.begun(0.2)


async def test_watchers_are_bounded_and_let_go(
    world: ConsentsWorld, http: httpx.AsyncClient, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_limits", Limits(streams=1))
    monkeypatch.setattr(live_module, "KEPT", 2)
    with live.watch(None, None) as watcher:
        answer = await http.get("/consents/proof/live")
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:kielto:problem:too-many-watchers")
        for number in range(4):
            watcher.tell(FeedEvent(number, uuid4(), None, FeedState.ACCEPTED, None, sees="*"))
        assert len([await watcher.next(1) for _ in range(2)]) == 2
        assert await watcher.next(1) is None, "who does not read is let go"
        assert await watcher.next(1) is None


async def test_one_party_cannot_take_all_streams(
    http: httpx.AsyncClient, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_limits", Limits(streams=4, streams_per_party=2))
    with live.watch("company.kauppa", None), live.watch("company.kauppa", None):
        refused = await http.get("/consents/proof/live", headers=as_("dpo@kauppa"))
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:kielto:problem:too-many-watchers")
        assert int(refused.headers["retry-after"]) > 0
        with live.watch("company.sahko", None), live.watch(None, None):
            full = await http.get("/consents/proof/live", headers=as_("dpo@sahko"))
            assert full.status_code == 503, "all streams are taken"
    with live.watch("company.kauppa", None):
        pass


async def test_what_is_not_followed_is_told_as_a_gap(
    world: ConsentsWorld, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More decisions at once than are followed: of the oldest nobody would ever be told that they are applied."""
    monkeypatch.setattr(live_module, "OPEN", 2)
    who = Someone()
    await world.know(who)
    with live.watch(None, None) as watcher:
        await watching(world.pool)
        for _ in range(3):
            await world.decide(world.by_id(who))
        states = []
        while FeedState.GAP not in states:
            following = await watcher.next(5)
            assert following is not None
            states.append(following.state)
        assert states.count(FeedState.ACCEPTED) >= 2


async def test_a_stop_ends_every_stream(pool: Pool, context: Context) -> None:
    live = Live(context)
    running = asyncio.create_task(live.run())
    with live.watch(None, None) as watcher:
        await watching(pool)
        running.cancel()
        await asyncio.wait([running])
        assert await watcher.next(1) is None
