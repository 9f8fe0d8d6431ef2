"""Clearances over HTTP: who may be reached, on what record, and what is refused."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from kielto.events.records import CustomerPoint
from kielto.events.words import Act, Channel, PointKind, Purpose, Reach, Status
from kielto.service.database.pool import Pool, open_pool, transaction
from kielto.service.process.application import Health, create_app
from kielto.service.support.limits import Limits
from kielto.service.support.yielding import beside
from kielto.subscriber import Answer, Clearance, Question, Reason
from services.consents.api.clearances import clearances
from services.consents.model.clearance import ClearanceReason, ClearanceRequest
from services.consents.model.rules import Rules
from services.consents.model.rules_file import Judgement
from services.consents.settings import ConsentsSettings
from services.consents.store import clearances as store
from services.consents.use_cases.clearances import clear
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions import decide as deciding
from services.consents.use_cases.permissions import portions
from tests.integration.consents.test_api import problem
from tests.integration.consents.world import ConsentsWorld, Someone, a_part
from tests.tokens import PlainTokens, as_

Client = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def client(pool: Pool, context: Context) -> AsyncIterator[Client]:
    """Of a campaign system of kauppa."""
    opened: list[httpx.AsyncClient] = []

    def make(
        settings: ConsentsSettings | None = None, pool: Pool = pool, context: Context = context
    ) -> httpx.AsyncClient:
        context = replace(context, pool=pool, settings=settings or context.settings)
        routers = [clearances.router(context)]
        app = create_app(
            "consents",
            routers,
            pool=pool,
            verifier=PlainTokens(),
            health=Health(claimed=True),
            body_bytes={clearances.PATH: Limits().clearance_body_bytes},
        )
        transport = httpx.ASGITransport(app)
        opened.append(
            httpx.AsyncClient(transport=transport, base_url="http://test", headers=as_("campaigns@kauppa"))
        )
        return opened[-1]

    yield make
    for http in opened:
        await http.aclose()


@pytest.fixture
def http(client: Client) -> httpx.AsyncClient:
    return client()


def asked(*recipients: dict[str, str], channel: str = "phone", **given: Any) -> dict[str, Any]:
    about = {"campaign": "spring", "purpose": "own_marketing", "channel": channel}
    return about | given | {"recipients": list(recipients)}


async def reasons(http: httpx.AsyncClient, *recipients: dict[str, str], **given: Any) -> list[str]:
    answer = await http.post("/consents/clearances", json=asked(*recipients, **given))
    assert answer.status_code == 200, answer.text
    results = answer.json()["results"]
    assert [r["allowed"] for r in results] == [r["reason"] == "allowed" for r in results]
    return [r["reason"] for r in results]


async def test_a_campaigns_id_has_one_spelling(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool
) -> None:
    """Else its deliveries would not find what cleared them."""
    who, campaign = Someone(), uuid4()
    await world.know(who)
    for given in (str(campaign).upper(), "Spring"):
        await reasons(http, {"address": who.phone}, campaign=given)
    rows = await pool.fetch("SELECT campaign FROM clearances ORDER BY at")
    assert [row["campaign"] for row in rows] == [str(campaign), "Spring"]


def consent(**given: Any) -> dict[str, Any]:
    said = {"reach": Reach.COMPANY, "company": "kauppa", "purposes": (Purpose.OWN_MARKETING,)}
    return said | {"channels": (Channel.EMAIL,)} | given


async def test_everybody_is_asked_for_by_each_of_their_names(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    who, sister, banned = Someone(), Someone(("sahko",)), Someone()
    await world.know(who, sister, banned)
    await world.decide(world.by_id(banned))
    key = world.key("company.kauppa", who)
    number = who.number("kauppa").partition(":")[2]
    assert (
        await reasons(
            http,
            {"customer": key},
            {"number": number},
            {"address": who.phone},
            {"customer": key, "address": who.phone},
            {"number": number, "address": who.phone},
            {"customer": key, "address": banned.phone},
            {"address": banned.phone},
            {"address": sister.phone},
            {"number": sister.number("sahko").partition(":")[2]},
            {"customer": world.key("company.sahko", sister)},
            {"address": "+358401112229"},
            {"customer": "0" * 64},
        )
        == ["allowed"] * 5 + ["denied"] * 2 + ["unknown"] * 5
    )


@pytest.mark.parametrize(
    ("channel", "kind", "address"),
    [
        ("phone", PointKind.PHONE, "+358401112223"),
        ("sms", PointKind.PHONE, "+358401112223"),
        ("email", PointKind.EMAIL, "eva@example.com"),
    ],
)
async def test_an_address_that_only_another_company_states_of_a_customer_is_not_theirs(
    http: httpx.AsyncClient, world: ConsentsWorld, channel: str, kind: PointKind, address: str
) -> None:
    """The group joined them: what sahko states of an address, kauppa's answers do not depend on."""
    who, joined = Someone(phone="+358401112223", email="eva@example.com"), Someone(("kauppa", "sahko"))
    await world.know(who)
    await world.consent(who, Channel.EMAIL)
    await world.consent(who, Channel.SMS)
    stated = CustomerPoint(
        id=uuid4(), kind_of=kind, digest=world.encrypted(kind, address), holders=("sahko",)
    )
    own = CustomerPoint(id=uuid4(), kind_of=PointKind.POST, holders=("kauppa",))
    await world.know(joined, points=(stated, own))
    assert await reasons(http, {"address": address}, channel=channel) == ["allowed"]
    number = {"number": joined.number("kauppa").partition(":")[2]}
    await reasons(http, number, channel=channel)
    shown = await found(http, {"address": address}, channel=channel)
    assert {c["record"]["key"] for c in shown["clearances"]} == {world.key("company.kauppa", who)}
    await world.know(joined, points=(stated.model_copy(update={"holders": ("sahko", "kauppa")}), own))
    assert await reasons(http, {"address": address}, channel=channel) != ["unknown"], (
        "now it is kauppa's, too"
    )
    await world.know(who, points=())
    await world.know(joined, points=(stated, own))
    assert await reasons(http, {"address": address}, channel=channel) == ["unknown"]


async def test_a_channel_a_product_group_and_a_partner_count_as_they_do_at_the_gate(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    who = Someone()
    await world.know(who)
    given = {"customer": world.key("company.kauppa", who)}
    assert await reasons(http, given, channel="email") == ["denied"]
    await world.decide(world.by_id(who), Act.CONSENT, **consent(product_groups=("groceries",)))
    assert await reasons(http, given, channel="email") == ["denied"]
    assert await reasons(http, given, channel="email", product_group="household") == ["denied"]
    assert await reasons(http, given, channel="email", product_group="groceries") == ["allowed"]
    assert await reasons(
        http, given | {"address": who.email}, channel="email", product_group="groceries"
    ) == ["allowed"]
    ours = {"purpose": "partner_marketing", "partner": "matkat", "mode": "we_send"}
    assert await reasons(http, given, **ours) == ["allowed"]
    await world.decide(world.by_id(who), Act.OPT_OUT)
    assert await reasons(http, given, **ours) == ["denied"]
    post = {"address": world.keys.pairwise("company.kauppa", who.post)}
    assert await reasons(http, given | post, channel="post") == ["allowed"]


async def test_each_who_has_an_address_has_to_permit_it(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    """Also one whose record lists nothing at all there: that is what a ban looks like."""
    one, other = Someone(phone="+358401112223"), Someone(phone="+358401112223")
    await world.know(one, other)
    await world.decide(world.by_id(other))
    assert await reasons(http, {"address": one.phone}) == ["denied"]
    assert await reasons(http, {"customer": world.key("company.kauppa", one), "address": one.phone}) == [
        "allowed"
    ]


async def test_strangers_where_prospects_may_be_marketed_to(
    client: Client, world: ConsentsWorld, context: Context
) -> None:
    rules = Rules.shipped({Judgement.MARKETING_TO_PROSPECTS: True})
    http = client(context=replace(context, rules=rules))
    sister = Someone(("sahko",))
    await world.know(sister)
    banned, free = "+358401110001", "+358401110002"
    await world.decide(world.by_phone(banned))
    people = [{"address": banned}, {"address": free}, {"address": sister.phone}, {"number": "no-1"}]
    assert await reasons(http, *people) == ["unknown", "allowed", "unknown", "unknown"]
    assert await reasons(http, *people, channel="sms") == ["unknown"] * 4
    assert await reasons(client(), *people) == ["unknown"] * 4


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (asked({}), ["recipients.0"]),
        (asked({"customer": "x"}), ["recipients.0.customer"]),
        (asked({"customer": "0" * 64, "number": "1"}), ["recipients.0"]),
        (asked({"address": "+358401112223"}, {"address": "12"}), ["recipients.1.address"]),
        (asked({"address": "0405550002 Eva"}), ["recipients.0.address"]),
        (asked({"number": " "}), ["recipients.0.number"]),
        (asked({"number": "000"}), ["recipients.0.number"]),
        (asked({"address": "Kotikatu 1"}, channel="post"), ["recipients.0.address"]),
        (asked({"number": "1", "address": "Kotikatu 1"}, channel="post"), ["recipients.0.address"]),
        (asked({"number": "1"}, campaign="with space"), ["campaign"]),
        (asked({"number": "1"}, partner="matkat"), [""]),
        (asked({"number": "1"}, purpose="partner_marketing"), [""]),
        (asked(), ["recipients"]),
        (asked(*[{"number": "1"}] * 10_001), ["recipients"]),
    ],
)
async def test_a_broken_rule_is_named_and_nothing_is_recorded(
    http: httpx.AsyncClient, pool: Pool, given: dict[str, Any], fields: list[str]
) -> None:
    answer = await http.post("/consents/clearances", json=given)
    status, slug, named = problem(answer)
    assert (status, slug) == (422, "invalid-request")
    assert [n.removeprefix("body") for n in named] == fields
    assert await pool.fetchval("SELECT count(*) FROM clearances") == 0


@pytest.mark.parametrize(
    "given",
    [
        {"at": "0001-01-01T00:00:00+02:00"},
        {"at": "9999-12-31T23:59:59-02:00"},
        {"at": "2026-01-01T00:00:00"},
        {"at": 1767225600},
        {"at": "1767225600"},
        {"at": "2026-01-01"},
        {"recipient": {"address": "\x00"}},
        {"recipient": {}},
    ],
)
async def test_a_search_that_cannot_be_made(http: httpx.AsyncClient, given: dict[str, Any]) -> None:
    known = {"at": "2026-01-01T00:00:00Z", "recipient": {"number": "1"}}
    body = json.dumps({"campaign": "spring", "channel": "phone"} | known | given)
    headers = {"content-type": "application/json"}
    answer = await http.post("/consents/clearances/search", content=body, headers=headers)
    status, slug, (field,) = problem(answer)
    assert (status, slug, field.partition(".")[0]) == (422, "invalid-request", next(iter(given)))


async def test_a_search_by_half_a_surrogate_pair(http: httpx.AsyncClient) -> None:
    body = r'{"campaign": "spring", "channel": "phone", "at": "2026-01-01T00:00Z", "recipient": {"number": "\ud800"}}'
    headers = {"content-type": "application/json"}
    answer = await http.post("/consents/clearances/search", content=body, headers=headers)
    assert problem(answer) == (422, "invalid-request", ["body"])


async def test_only_a_campaign_system_or_a_desk_of_the_company(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    who = Someone()
    await world.know(who)
    given = asked({"customer": world.key("company.kauppa", who)})
    refusals: list[tuple[str, tuple[int, str, list[str]]]] = [
        ("campaigns", (403, "company-needed", [])),
        ("register@kauppa", (403, "missing-role", [])),
        ("bad@kauppa", (401, "unauthorised", [])),
    ]
    for token, expected in refusals:
        answer = await http.post("/consents/clearances", json=given, headers=as_(token))
        assert problem(answer) == expected
    answer = await http.post("/consents/clearances", json=given, headers=as_("campaigns@sahko"))
    assert answer.json()["results"] == [{"allowed": False, "reason": "unknown"}]


async def test_another_address_was_not_cleared(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    who, other = Someone(), "+358409998887"
    await world.know(who)
    key = world.key("company.kauppa", who)
    assert await reasons(http, {"customer": key, "address": who.phone}) == ["allowed"]
    assert not (await found(http, {"customer": key, "address": other}))["allowed"]
    for name in ({"customer": key, "address": who.phone}, {"customer": key}, {"address": who.phone}):
        assert (await found(http, name))["allowed"], name
    assert await reasons(http, {"customer": key}, campaign="summer") == ["allowed"]
    whole = await found(http, {"customer": key, "address": who.phone}, campaign="summer")
    assert whole["allowed"], "every address of the channel was asked about"


async def test_an_answer_is_never_given_again(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    """The same Idempotency-Key: an older answer would be valid for longer than it says."""
    who = Someone()
    await world.know(who)
    given = asked({"customer": world.key("company.kauppa", who)})
    headers = {"Idempotency-Key": "one"}
    first = await http.post("/consents/clearances", json=given, headers=headers)
    await world.decide(world.by_id(who))
    second = await http.post("/consents/clearances", json=given, headers=headers)
    assert [a.json()["results"][0]["allowed"] for a in (first, second)] == [True, False]


async def found(http: httpx.AsyncClient, recipient: dict[str, str], **given: Any) -> dict[str, Any]:
    body = {"campaign": "spring", "channel": "phone", "at": datetime.now(UTC).isoformat()} | given
    answer = await http.post("/consents/clearances/search", json=body | {"recipient": recipient})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def test_what_was_cleared_is_found_by_every_name(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool
) -> None:
    who, other = Someone(), Someone()
    await world.know(who, other)
    lifted = await world.decide(world.by_id(who), channels=(Channel.EMAIL,))
    key = world.key("company.kauppa", who)
    await reasons(http, {"customer": key}, {"customer": world.key("company.kauppa", other)})
    number = who.number("kauppa").partition(":")[2]
    at = datetime.now(UTC)
    shown = await found(http, {"customer": key})
    for name in ({"number": number}, {"address": who.phone}):
        assert await found(http, name) == shown
    assert shown["allowed"]
    (one,) = shown["clearances"]
    assert one["record"] == {
        "family": "company.kauppa",
        "key": key,
        "version": f"1.{await world.version(who)}",
        "decisions": [world.keys.pairwise("company.kauppa", lifted.decision.id)],
    }
    await world.decide(world.by_id(who))
    assert await found(http, {"customer": key}, at=at.isoformat()) == shown, (
        "what was said later is not in it"
    )
    for miss in (
        {"at": (at - timedelta(seconds=5)).isoformat()},
        {"at": (at + timedelta(seconds=20)).isoformat()},
        {"campaign": "summer"},
    ):
        assert await found(http, {"customer": key}, **miss) == {"allowed": False, "clearances": []}
    size = await pool.fetchval("SELECT octet_length(recipients) / 2 FROM clearances")
    assert size <= 40


async def test_a_clearance_of_another_channel_is_none(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    await world.decide(world.by_id(who), channels=(Channel.SMS,))
    given = {"customer": world.key("company.kauppa", who)}
    assert await reasons(http, given) == ["allowed"]
    assert (await found(http, given))["allowed"]
    assert await found(http, given, channel="sms") == {"allowed": False, "clearances": []}


async def test_what_was_cleared_by_an_address_is_found_of_each_who_has_it(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    one, other = Someone(phone="+358401112223"), Someone(phone="+358401112223")
    await world.know(one, other)
    assert await reasons(http, {"address": one.phone}) == ["allowed"]
    for who in (one, other):
        shown = await found(http, {"customer": world.key("company.kauppa", who)})
        assert shown["allowed"]
        assert world.key("company.kauppa", who) in {c["record"]["key"] for c in shown["clearances"]}


async def test_what_was_cleared_before_a_merge_is_found_of_the_survivor(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    survivor, alias = Someone(), Someone()
    await world.know(survivor, alias)
    gone = {"customer": world.key("company.kauppa", alias)}
    assert await reasons(http, gone) == ["allowed"]
    before = await found(http, gone)
    await world.know(survivor, aliases=(alias.id,))
    await world.know(alias, alias_of=survivor.id, status=Status.ALIAS, points=(), customerships=())
    for name in (gone, {"customer": world.key("company.kauppa", survivor)}, {"address": survivor.phone}):
        assert await found(http, name, at=before["clearances"][0]["at"]) == before


async def test_the_library_asks_for_those_whom_the_gate_lets_through(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool
) -> None:
    who, banned, kept = Someone(), Someone(), Someone()
    await world.know(who, banned, kept)
    await world.decide(world.by_id(banned))

    async def token() -> str:
        return "campaigns@kauppa"

    def may(question: Question) -> Answer:
        if question.address == kept.phone:
            return Answer(False, Reason.STALE)
        return Answer(True, Reason.ALLOWED)

    questions = [Question(Purpose.OWN_MARKETING, Channel.PHONE, address=x.phone) for x in (who, banned, kept)]
    cleared = await Clearance("http://test", token, client=http).clear(may, questions, "spring")
    assert [cleared.may(q).reason for q in questions] == [Reason.ALLOWED, Reason.DENIED, Reason.STALE]
    assert await pool.fetchval("SELECT octet_length(recipients) FROM clearances") == 2 * 37
    assert cleared.clearance(questions[0]) == await pool.fetchval("SELECT id FROM clearances")


async def test_others_are_answered_while_somebody_searches(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A million recipients may have been cleared at the time."""
    await reasons(http, {"number": "1"})
    plain, go_on = store._matching, threading.Event()
    monkeypatch.setattr(store, "_matching", lambda *given: go_on.wait(5) and plain(*given))
    body = {"campaign": "spring", "channel": "phone", "at": datetime.now(UTC).isoformat()}
    search = http.post(
        "/consents/clearances/search", json=body | {"recipient": {"number": "1"}}, headers=as_("dpo@kauppa")
    )
    searching = asyncio.create_task(search)
    assert await reasons(http, {"number": "2"}) == ["unknown"]
    await asyncio.sleep(0.5)
    assert not searching.done()
    go_on.set()
    assert len((await searching).json()["clearances"]) == 1


async def test_who_may_look_up(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    await reasons(http, {"address": who.phone})
    body = {
        "campaign": "spring",
        "channel": "phone",
        "at": datetime.now(UTC).isoformat(),
        "recipient": {"address": who.phone},
    }
    search = "/consents/clearances/search"
    assert (await http.post(search, json=body, headers=as_("dpo@kauppa"))).json()["allowed"]
    whole = {**body, "company": "kauppa"}
    assert (await http.post(search, json=whole, headers=as_("dpo"))).json()["allowed"]
    assert problem(await http.post(search, json=body, headers=as_("dpo"))) == (
        422,
        "invalid-request",
        ["company"],
    )
    refused = await http.post(search, json=whole, headers=as_("dpo@sahko"))
    assert problem(refused) == (403, "foreign-company", [])


async def test_a_company_with_an_overdue_subscriber_is_refused_if_the_operator_says_so(
    client: Client, world: ConsentsWorld, pool: Pool
) -> None:
    who = Someone()
    await world.know(who)
    past = datetime.now(UTC) - timedelta(hours=1)
    await world.decide(world.by_id(who), received_at=past, said_at=past)
    await pool.execute("UPDATE marks SET created_at = now() - interval '1 hour'")
    given = asked({"customer": world.key("company.kauppa", who)})
    strict = client(ConsentsSettings(clearance_refuses_overdue=True))
    answer = await strict.post("/consents/clearances", json=given)
    assert problem(answer) == (409, "subscriber-overdue", [])
    assert await pool.fetchval("SELECT count(*) FROM clearances") == 0
    assert (await client().post("/consents/clearances", json=given)).status_code == 200


async def test_a_server_that_only_follows_answers_nothing(
    client: Client, dsn: str, pool: Pool, world: ConsentsWorld
) -> None:
    who = Someone()
    await world.know(who)
    mark = "&" if "?" in dsn else "?"
    following = await open_pool(f"{dsn}{mark}options=-cdefault_transaction_read_only%3Don", name="test")
    try:
        http = client(pool=following)
        given = asked({"customer": world.key("company.kauppa", who)})
        assert problem(await http.post("/consents/clearances", json=given)) == (503, "not-primary", [])
    finally:
        await following.close()


@pytest.mark.parametrize(
    ("set_to", "committed_with"), [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")]
)
async def test_the_commit_waits_for_the_disk(pool: Pool, set_to: str, committed_with: str) -> None:
    asked = ClearanceRequest("kauppa", "spring", "own_marketing", "phone", None, None, None, "someone")
    async with transaction(pool) as conn:
        await conn.execute(f"SET LOCAL synchronous_commit = {set_to}")
        await store.add(conn, a_part(), asked, [store.Result("p:x", ClearanceReason.UNKNOWN, None)])
        assert await conn.fetchval("SHOW synchronous_commit") == committed_with


async def test_a_decision_about_many_denies_before_its_portions(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool, context: Context
) -> None:
    """By customer, number and address; whoever its portions have reached is asked of their record again."""
    people = [Someone(phone="+358409998877") for _ in range(deciding.MANY + 1)]
    await world.know(*people)
    who = people[-1]
    recipients = [
        {"customer": world.key("company.kauppa", who)},
        {"number": who.number("kauppa").partition(":")[2]},
        {"address": who.phone},
    ]
    assert await reasons(http, *recipients) == ["allowed"] * 3
    await world.decide(world.by_phone(who.phone))
    assert await world.allowed(who) >= {"phone"}, "its record does not show it yet"
    assert await reasons(http, *recipients) == ["denied"] * 3
    while await portions.work_off(context):
        pass
    assert await reasons(http, *recipients) == ["denied"] * 3


async def test_a_decision_about_many_denies_nobody_elses_customers(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool
) -> None:
    """sahko's own no about an address: kauppa learns nothing of it, by a clearance either."""
    people = [Someone(("kauppa", "sahko"), phone="+358409998877") for _ in range(deciding.MANY + 1)]
    await world.know(*people)
    await world.decide(world.by_phone(people[0].phone), reach=Reach.COMPANY, company="sahko")
    assert await pool.fetchval("SELECT count(*) FROM consequences") == 1
    assert await reasons(http, {"address": people[0].phone}) == ["allowed"]


async def test_strangers_are_not_locked(http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool) -> None:
    """Another company's ban waits for nothing that this company asks about its customers."""
    theirs = Someone(("sahko",))
    await world.know(theirs)
    async with transaction(pool) as conn:
        refs = [world.by_phone(theirs.phone).ref, world.by_number(theirs, "sahko").ref]
        assert await store.lock(conn, "kauppa", refs) == set()
        assert (await store.load(conn, "kauppa", refs, set())).elsewhere == set(refs)
        async with asyncio.timeout(5):
            await world.decide(world.by_id(theirs))


async def test_a_batch_is_recorded_in_parts_that_run_out_together(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clear, "PART", 2)
    people = [Someone() for _ in range(5)]
    await world.know(*people)
    await world.decide(world.by_id(people[4]))
    recipients = [{"customer": world.key("company.kauppa", who)} for who in people]
    assert await reasons(http, *recipients) == ["allowed"] * 4 + ["denied"]
    rows = await pool.fetch("SELECT * FROM clearances ORDER BY part")
    assert [row["part"] for row in rows] == [0, 1, 2]
    assert len({row["id"] for row in rows}) == len({row["valid_until"] for row in rows}) == 1
    assert rows[0]["at"] < rows[1]["at"] < rows[2]["at"]
    for recipient, allowed in ((recipients[3], True), (recipients[4], False)):
        search = {"campaign": "spring", "channel": "phone", "recipient": recipient}
        search["at"] = datetime.now(UTC).isoformat()
        answer = await http.post("/consents/clearances/search", json=search)
        assert [one["clearance"] for one in answer.json()["clearances"]] == [str(rows[0]["id"])]
        assert answer.json()["allowed"] is allowed


async def test_before_the_epoch_nothing_is_cleared(http: httpx.AsyncClient, pool: Pool) -> None:
    await pool.execute("DELETE FROM epoch")
    answer = await http.post("/consents/clearances", json=asked({"number": "1"}))
    assert problem(answer) == (503, "epoch-not-claimed", [])
    assert await pool.fetchval("SELECT count(*) FROM clearances") == 0


async def test_before_a_restored_database_is_held_against_the_topics_nothing_is_cleared(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool
) -> None:
    """A mere restart looks the same as long as Kafka is away: decisions go on, clearances do not."""
    who = Someone()
    await world.know(who)
    await pool.execute("UPDATE epoch SET started = started - interval '1 hour'")
    await world.decide(world.by_id(who))
    answer = await http.post("/consents/clearances", json=asked({"number": "1"}))
    assert problem(answer) == (503, "epoch-not-claimed", [])


async def test_clearances_do_not_wait_for_each_other_and_decisions_do(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool
) -> None:
    who = Someone()
    await world.know(who)
    key = world.key("company.kauppa", who)
    ref = f"i:company.kauppa:{key}"
    async with transaction(pool) as conn:
        assert await store.lock(conn, "kauppa", [ref]) == {f"c:{who.id}"}
        assert await reasons(http, {"customer": key}) == ["allowed"]
        ban = asyncio.create_task(world.decide(world.by_id(who)))
        done, _ = await asyncio.wait([ban], timeout=0.3)
        assert not done
    await ban
    async with transaction(pool) as conn:
        lifting = world.command(world.by_id(who), id=uuid4())
        await deciding.decide(conn, world.context, lifting)
        waiting = asyncio.create_task(reasons(http, {"customer": key}))
        await asyncio.sleep(0.3)
        assert not waiting.done()
    assert await waiting == ["denied"]


async def test_old_clearances_are_forgotten(
    http: httpx.AsyncClient, world: ConsentsWorld, pool: Pool
) -> None:
    await reasons(http, {"customer": "0" * 64})
    await store.forget(pool, datetime.now(UTC) - timedelta(days=1))
    assert await pool.fetchval("SELECT count(*) FROM clearances") == 1
    await store.forget(pool, datetime.now(UTC) + timedelta(minutes=1))
    assert await pool.fetchval("SELECT count(*) FROM clearances") == 0


async def test_of_many_batches_two_parts_are_worked_on_at_a_time(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that they leave the processor to bans; each batch goes on in its turn."""
    at_once, most, lock = 0, 0, store.lock

    async def watched(*given: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        try:
            return await lock(*given)
        finally:
            at_once -= 1

    monkeypatch.setattr(store, "lock", watched)
    monkeypatch.setattr(clear, "PART", 2)
    batch = [{"address": f"+35840123456{n}"} for n in range(4)]
    answers = await asyncio.gather(*(reasons(http, *batch) for _ in range(5)))
    assert answers == [["unknown"] * 4] * 5
    assert most == 2


async def test_a_part_that_has_its_locks_waits_for_no_other_batch(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another batch is being read beside the event loop meanwhile: a ban of whoever is locked would wait for it."""
    lock, read = store.lock, threading.Event()
    others: list[asyncio.Task[bool]] = []

    async def locked(*given: Any) -> Any:
        others.append(asyncio.create_task(beside(read.wait, 30)))
        await asyncio.sleep(0)
        return await lock(*given)

    monkeypatch.setattr(store, "lock", locked)
    batch = [{"address": f"+3584012345{n:03}"} for n in range(101)]
    try:
        async with asyncio.timeout(10):
            assert await reasons(http, *batch) == ["unknown"] * 101
    finally:
        read.set()
        await asyncio.gather(*others)
