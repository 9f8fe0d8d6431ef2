"""Results as a company reads them over HTTP, and of messages that are kept aside."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest

from kielto.events import envelope, topics
from kielto.events.messages import Decision, DecisionSubject
from kielto.events.results import DecisionResult, ResultStatus
from kielto.events.words import Act
from kielto.service.database.pool import Pool, transaction
from kielto.service.inbox.transactional import Intake
from kielto.service.process.application import Health, create_app
from services.consents.api.decisions import results
from services.consents.consumers.subscriptions import subscriptions
from services.consents.store.decisions import results as store
from services.consents.use_cases.context import Context
from tests.integration.consents.decisions.test_results import PARTY, CompanyDesk
from tests.integration.consents.test_api import problem
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.tokens import PlainTokens, as_


@pytest.fixture
async def http(pool: Pool, context: Context) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        "consents",
        [results.router(context)],
        pool=pool,
        verifier=PlainTokens(),
        health=Health(claimed=True),
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", headers=as_("desk@kauppa")
    ) as client:
        yield client


@pytest.fixture
def desk(world: ConsentsWorld, pool: Pool, context: Context) -> CompanyDesk:
    return CompanyDesk(world, pool, context)


async def page(http: httpx.AsyncClient, token: str = "desk@kauppa", **asked: Any) -> dict[str, Any]:
    answer = await http.get("/consents/results", params=asked, headers=as_(token))
    assert answer.status_code == 200, answer.text
    return cast(dict[str, Any], answer.json())


@pytest.mark.parametrize("role", ["desk", "campaigns", "dpo"])
async def test_a_company_reads_on_from_its_cursor(
    http: httpx.AsyncClient, desk: CompanyDesk, world: ConsentsWorld, role: str
) -> None:
    nothing = await page(http)
    assert nothing == {"results": [], "next": None}
    who = Someone()
    await world.know(who)
    said = [await desk.say(DecisionSubject(id=world.key(PARTY, who))) for _ in range(5)]
    first = await page(http, f"{role}@kauppa", limit=2)
    rest = await page(http, f"{role}@kauppa", cursor=first["next"])
    found = first["results"] + rest["results"]
    assert [row["id"] for row in found] == [str(one.id) for one in said]
    assert {row["status"] for row in found} == {"taken"}
    end = await page(http, cursor=rest["next"])
    assert end == {"results": [], "next": rest["next"]}
    await desk.send(said[0])
    later = await page(http, cursor=end["next"])
    assert [(row["id"], row["status"]) for row in later["results"]] == [(str(said[0].id), "repeated")]


async def test_a_commit_that_was_slow_is_not_passed_over(
    http: httpx.AsyncClient, desk: CompanyDesk, world: ConsentsWorld, pool: Pool
) -> None:
    """Its row was made before one that a reader has seen already."""
    async with transaction(pool) as slow:
        await store.keep(slow, PARTY, a_result(7))
        await desk.say(DecisionSubject(id=world.key(PARTY, Someone())))
        first = await page(http)
        assert len(first["results"]) == 1
    later = await page(http, cursor=first["next"])
    assert [row["offset"] for row in later["results"]] == [7]


async def test_no_company_reads_or_counts_anothers(
    http: httpx.AsyncClient, desk: CompanyDesk, world: ConsentsWorld
) -> None:
    await desk.say(DecisionSubject(id=world.key(PARTY, Someone())))
    mine = await page(http)
    assert await page(http, "desk@sahko") == {"results": [], "next": None}
    answer = await http.get("/consents/results", params={"cursor": mine["next"]}, headers=as_("desk@sahko"))
    made_up = await http.get("/consents/results", params={"cursor": "x"}, headers=as_("desk@sahko"))
    assert problem(answer) == problem(made_up) == (422, "invalid-request", ["cursor"])
    assert answer.content == made_up.content
    group = await http.get("/consents/results", headers=as_("desk"))
    assert problem(group) == (403, "company-needed", [])
    assert problem(await http.get("/consents/results", headers=as_("operator@kauppa")))[0] == 403


async def test_results_are_forgotten(http: httpx.AsyncClient, pool: Pool) -> None:
    for age in (36, 38):
        await store.keep(pool, PARTY, a_result(age, datetime.now(UTC) - timedelta(days=age)))  # type: ignore[arg-type]
    await store.forget(pool, 37)
    assert [row["offset"] for row in (await page(http))["results"]] == [36]


def a_result(offset: int, at: datetime | None = None) -> Any:
    return DecisionResult(
        id=uuid4(), partition=1, offset=offset, status=ResultStatus.REFUSED, at=at or datetime.now(UTC)
    )


async def take(
    context: Context, pool: Pool, offset: int, value: bytes, headers: Sequence[Any], party: str
) -> None:
    topic = next(t for t in topics.all_topics(context.group.parties) if t.name == topics.decisions(party))
    subscription = next(s for s in subscriptions(context, cast(Any, None)) if s.topic == topic.name)
    intake = Intake(pool, topic, subscription, context.keys.message_cipher)
    intake.topic_id = UUID(int=1)
    record = SimpleNamespace(
        topic=topic.name, partition=2, offset=offset, timestamp=1_800_000_000_000,
        key=b"7f" * 32, value=value, headers=list(headers),
    )  # fmt: skip
    for _ in range(2):  # it comes again after a crash
        await intake.take(record)


async def test_what_is_kept_aside_has_a_result_without_content(
    http: httpx.AsyncClient, pool: Pool, context: Context
) -> None:
    ok = envelope.encode(ban(DecisionSubject(id="a1" * 32)), key="7f" * 32, source=PARTY).headers
    secret = b"matti@example.com"
    for offset, value in enumerate((b'{"id": "' + secret, b'"' + secret + b'"', b"\xff\xfe")):
        await take(context, pool, offset, value, ok, PARTY)
    await take(context, pool, 3, b"{}", (), PARTY)
    found = (await page(http))["results"]
    assert [(row["status"], row["id"], row["partition"], row["offset"]) for row in found] == [
        ("refused", None, 2, offset) for offset in range(4)
    ]
    assert all(row["reasons"] for row in found)
    assert "matti" not in str(found)
    kept = await pool.fetch("SELECT topic, key FROM reports ORDER BY id")
    assert [tuple(row) for row in kept] == [(topics.results(PARTY), f"2@{n}") for n in range(4)]
    assert await pool.fetchval("SELECT count(*) FROM quarantine WHERE state = 'open'") == 4


async def test_a_no_that_cannot_be_taken_is_told_under_its_own_id(pool: Pool, context: Context) -> None:
    partner = "partner.matkat"
    said = ban(DecisionSubject(number="a1" * 32))
    sent = envelope.encode(said, key="7f" * 32, source=partner)
    await take(context, pool, 0, sent.value, sent.headers, partner)
    async with transaction(pool) as conn:
        found = await store.listed(conn, partner, 0, 10)
    assert [(kept.result.id, kept.result.status) for kept in found] == [(said.id, "refused")]
    assert [why.field for why in found[0].result.reasons] == ["subject.number"]


def ban(subject: DecisionSubject) -> Decision:
    return Decision(id=uuid4(), subject=subject, act=Act.BAN, said_at=datetime.now(UTC))
