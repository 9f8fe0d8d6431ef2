"""Decisions over HTTP: what is answered, to whom, and what is refused without changing anything."""

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
from services.consents.api import permissions
from services.consents.api.decisions import decisions
from services.consents.api.propagation import subscribers
from services.consents.use_cases.context import Context, decision_id
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.tokens import PlainTokens, as_


@pytest.fixture
async def http(pool: Pool, context: Context) -> AsyncIterator[httpx.AsyncClient]:
    """By default a desk of the whole group."""
    app = create_app(
        "consents",
        [part.router(context) for part in (decisions, permissions, subscribers)],
        pool=pool,
        verifier=PlainTokens(),
        health=Health(claimed=True),
    )
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": "Bearer desk"}
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
        yield client


def problem(answer: httpx.Response) -> tuple[int, str, list[str]]:
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    fields = [error["field"] for error in body.get("errors", ())]
    return answer.status_code, str(body["type"]).removeprefix("urn:kielto:problem:"), fields


async def ban(
    http: httpx.AsyncClient, subject: dict[str, Any], token: str = "desk", **given: Any
) -> dict[str, Any]:
    answer = await http.post(
        "/consents/decisions", json={"subject": subject, "act": "ban"} | given, headers=as_(token)
    )
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_a_receipt_of_a_no_says_by_when_every_clearance_has_run_out(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    who = Someone()
    await world.know(who)
    body = {"subject": {"customer": str(who.id)}, "act": "ban"}
    headers = {"Idempotency-Key": "one"}
    async with world.pool.acquire() as holder, holder.transaction():
        await holder.execute(
            "SELECT FROM subjects WHERE ref = $1 FOR SHARE", f"c:{who.id}"
        )  # as a clearance does
        asking = asyncio.create_task(http.post("/consents/decisions", json=body, headers=headers))
        await asyncio.sleep(0.5)
        before = datetime.now(UTC)
    first = (await asking).json()
    assert first["clear_seconds"] == 10
    bound = datetime.fromisoformat(first["clear_by"])
    assert before <= bound - timedelta(seconds=10) <= datetime.now(UTC), "counted from after the commit"
    assert bound > datetime.fromisoformat(first["received_at"]) + timedelta(seconds=10.5)

    again = (await http.post("/consents/decisions", json=body, headers=headers)).json()
    assert again == first | {"clear_by": None}
    lifting = await ban(http, {"customer": str(who.id)}, act="lifting", lifts=[first["decision"]])
    assert lifting["clear_seconds"] is lifting["clear_by"] is None


async def test_a_receipt_says_what_was_understood_and_done(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    receipt = await ban(http, {"customer": str(who.id)}, evidence="Said no on the phone", route="phone")
    assert receipt["status"] == "in_force"
    assert receipt["binds"]["reach"] == "group"
    assert receipt["binds"]["in_words"].startswith("No more direct marketing")
    assert "on any channel, from any company of the group" in receipt["binds"]["in_words"]
    assert receipt["affected"]["records"] == 3
    assert {v["version"] for v in receipt["affected"]["versions"]} == {"1.2"}
    assert await world.allowed(who) == set()

    shown = (await http.get(f"/consents/decisions/{receipt['decision']}", headers=as_("dpo"))).json()
    assert shown["customer"] == str(who.id)
    assert shown["evidence"] == "Said no on the phone"
    kept = await world.pool.fetchrow("SELECT * FROM evidence")
    assert kept is not None
    assert b"phone" not in kept["text"]


@pytest.mark.parametrize(
    "subject",
    [
        {"customer": str(uuid4())},
        {"company": "kauppa", "number": "A 1"},
        {"kind": "email", "value": "nobody@example.com"},
        {"kind": "phone", "value": "040 1234567"},
    ],
)
async def test_a_no_for_an_unknown_person_with_a_clock_ahead(
    http: httpx.AsyncClient, world: ConsentsWorld, subject: dict[str, str]
) -> None:
    ahead = datetime.now(UTC) + timedelta(days=3)
    receipt = await ban(http, subject, said_at=ahead.isoformat())
    assert receipt["status"] == "pending"
    assert receipt["affected"] == {"records": 0, "versions": []}
    assert receipt["effective_from"] == receipt["received_at"]
    shown = (await http.get(f"/consents/decisions/{receipt['decision']}")).json()
    assert (shown["status"], datetime.fromisoformat(shown["said_at"])) == ("pending", ahead)
    stored = str([tuple(row) for row in await world.pool.fetch("SELECT * FROM decisions")])
    assert "nobody@" not in stored
    assert "1234567" not in stored


@pytest.mark.parametrize("said_at", ["0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00"])
async def test_a_clock_at_the_edge_of_the_calendar_refuses_no_ban(
    http: httpx.AsyncClient, world: ConsentsWorld, said_at: str
) -> None:
    """In UTC both lie outside the calendar; the first is what some systems send for an empty date."""
    receipt = await ban(http, {"kind": "phone", "value": "040 1234567"}, said_at=said_at)
    assert receipt["status"] == "pending"
    assert receipt["effective_from"] <= receipt["received_at"]


async def test_one_spelling_finds_another(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    who = Someone(phone="+358401234567")
    await world.know(who)
    receipt = await ban(http, {"kind": "phone", "value": "040-123 45 67"})
    assert receipt["affected"]["records"] == 2


NOBODY = {"customer": str(uuid4())}


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"act": "ban", "reach": "company", "company": "nobody"}, ["company"]),
        ({"act": "ban", "reach": "company"}, ["company"]),
        ({"act": "ban", "company": "kauppa"}, ["reach"]),
        ({"act": "ban", "reach": "partner", "partner": "nobody"}, ["partner"]),
        ({"act": "ban", "purposes": ["fun"]}, ["purposes.0"]),
        ({"act": "ban", "channels": ["pigeon"]}, ["channels.0"]),
        ({"act": "ban", "product_groups": ["groceries"]}, ["product_groups"]),
        ({"act": "ban", "lifts": [str(uuid4())]}, ["lifts"]),
        ({"act": "forget"}, ["act"]),
        ({"act": "ban", "unknown": 1}, ["unknown"]),
        ({"act": "ban", "said_at": "2026-01-01T00:00:00"}, ["said_at"]),
        ({"act": "ban", "said_at": "20261130"}, ["said_at"]),
        ({"act": "ban", "said_at": 20261130}, ["said_at"]),
        ({"act": "ban", "said_at": "2026-11-30"}, ["said_at"]),
        ({"act": "ban", "said_at": "2026-02-30T00:00:00Z"}, ["said_at"]),
        ({"act": "ban", "evidence": "x" * 2001}, ["evidence"]),
        ({"act": "ban", "subject": {"company": "nobody", "number": "1"}}, ["subject.company"]),
        ({"act": "ban", "subject": {"company": "kauppa", "number": " "}}, ["subject.number"]),
        ({"act": "ban", "subject": {"kind": "phone", "value": "12"}}, ["subject.value"]),
        ({"act": "ban", "subject": {"kind": "phone", "value": "0405550002 Eva"}}, ["subject.value"]),
        ({"act": "ban", "subject": {"kind": "phone", "value": "0405550002;0507654321"}}, ["subject.value"]),
        ({"act": "ban", "aino@example.com": 1}, ["?"]),
        ({"act": "ban", "subject": {"customer": str(uuid4()), "Aino Virtanen": 1}}, ["subject.customer.?"]),
        ({"act": "ban", "subject": {"kind": "email", "value": "nobody"}}, ["subject.value"]),
        ({"act": "ban", "subject": {"kind": "post", "value": "Street 1"}}, ["subject.point.kind"]),
        ({"act": "ban", "subject": {}}, ["subject.point.kind", "subject.point.value"]),
        ({"act": "consent", "reach": "group"}, ["purposes"]),
    ],
)
async def test_what_breaks_a_rule_changes_nothing(
    http: httpx.AsyncClient, world: ConsentsWorld, body: dict[str, Any], fields: list[str]
) -> None:
    answer = await http.post("/consents/decisions", json={"subject": NOBODY} | body)
    assert problem(answer) == (422, "invalid-request", fields)
    assert await world.pool.fetchval("SELECT count(*) FROM decisions") == 0


async def test_a_body_that_names_a_field_twice_is_refused(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    """Which of the two counts would be left to the parser."""
    subject = json.dumps(NOBODY)
    for content, field in (
        (f'{{"subject":{subject},"act":"ban","act":"consent"}}', "act"),
        (f'{{"subject":{subject[:-1]},"customer":"1"}},"act":"ban"}}', "customer"),
        (f'{{"subject":{subject},"act":"ban","aino@example.com":1,"aino@example.com":2}}', "?"),
        (f'{{"subject":{subject},"act":"ban","act":"ban"}}', "act"),
        (f'{{"subject":{subject},"act":"ban","evidence":NaN}}', "body"),
    ):
        for headers in ({"content-type": "application/json"}, {"content-type": "application/x+json"}):
            answer = await http.post("/consents/decisions", content=content, headers=headers)
            assert problem(answer) == (422, "invalid-request", [field])
            assert "aino" not in answer.text
    assert await world.pool.fetchval("SELECT count(*) FROM decisions") == 0


async def test_what_is_no_decision_at_all(http: httpx.AsyncClient) -> None:
    for content in (b"{", b"[]", b"null", b"\xff"):
        answer = await http.post(
            "/consents/decisions", content=content, headers={"content-type": "application/json"}
        )
        assert problem(answer)[0] in (400, 422)
    assert problem(await http.get("/consents/decisions/1"))[0] == 422
    assert problem(await http.get(f"/consents/decisions/{uuid4()}"))[:2] == (404, "unknown-decision")
    assert problem(await http.get(f"/consents/decisions/{uuid4()}/whereabouts"))[:2] == (
        404,
        "unknown-decision",
    )
    assert problem(await http.get(f"/consents/customers/{uuid4()}/permissions"))[:2] == (
        404,
        "unknown-customer",
    )


async def test_before_the_epoch_nothing_is_accepted(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    await world.pool.execute("DELETE FROM epoch")
    answer = await http.post("/consents/decisions", json={"subject": NOBODY, "act": "ban"})
    assert problem(answer)[:2] == (503, "epoch-not-claimed")
    assert await world.pool.fetchval("SELECT count(*) FROM decisions") == 0


async def test_who_may_record_and_for_whom(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    mine, theirs = Someone(), Someone(("sahko",))
    await world.know(mine, theirs)

    async def refused(token: str, **given: Any) -> tuple[int, str, list[str]]:
        ident = world.key("company.kauppa", mine) if token.endswith("@kauppa") else str(mine.id)
        body = {"subject": {"customer": ident}, "act": "ban"} | given
        return problem(await http.post("/consents/decisions", json=body, headers=as_(token)))

    assert (await refused("bad"))[:2] == (401, "unauthorised")
    assert (await refused("dpo"))[:2] == (403, "missing-role")
    foreign: tuple[int, str, list[str]] = (403, "foreign-company", [])
    assert await refused("desk@kauppa", subject={"company": "sahko", "number": "1"}) == foreign
    assert await refused("desk@kauppa", reach="company", company="sahko", by="staff") == foreign
    assert await refused("desk@kauppa", reach="group", by="staff") == foreign
    yes: dict[str, Any] = {"purposes": ["own_marketing"], "channels": ["sms"]}
    assert await refused("desk@kauppa", act="consent", reach="company", company="sahko", **yes) == foreign
    assert await refused("desk@kauppa", act="consent", reach="group", **yes) == foreign
    assert await world.pool.fetchval("SELECT count(*) FROM decisions") == 0
    assert (await ban(http, {"customer": world.key("company.kauppa", mine)}, "desk@kauppa"))["binds"][
        "reach"
    ] == "group"


Form = tuple[int, str | None, object]


def form(answer: httpx.Response) -> Form:
    """An answer without its ids and times."""
    text = re.sub(r"[0-9a-f]{64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id", answer.text)
    text = re.sub(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "time", text)
    headers = sorted(name for name in answer.headers if name != "content-length")
    return answer.status_code, text, headers


YES = {"reach": "company", "company": "kauppa", "purposes": ["own_marketing"], "channels": ["sms"]}
SAID: dict[str, dict[str, Any]] = {
    "a ban": {"act": "ban"},
    "a ban by staff": {"act": "ban", "by": "staff", "reach": "company", "company": "kauppa"},
    "an opt-out": {"act": "opt_out", "reach": "partner", "partner": "matkat"},
    "a consent": {"act": "consent", **YES},
    "a consent of no channel": {"act": "consent", **YES, "channels": []},
    "a consent from the future": {"act": "consent", **YES, "said_at": "2099-01-01T00:00:00Z"},
    "a lifting of something": {"act": "lifting", **YES, "lifts": ["f" * 64]},
    "a lifting of nothing": {"act": "lifting", **YES},
}


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("by", ["customer", "phone", "email"])
async def test_a_company_cannot_tell_anothers_customer_from_nobody(
    http: httpx.AsyncClient, world: ConsentsWorld, by: str, said: str
) -> None:
    theirs, nobody = Someone(("sahko",)), Someone(("sahko",))
    await world.know(theirs)
    await ban(http, {"customer": str(theirs.id)}, channels=["phone"])
    desk = as_("desk@kauppa")
    forms: list[list[Form]] = []
    for who in (theirs, nobody):
        subject = {
            "customer": {"customer": world.key("company.kauppa", who)},
            "phone": {"kind": "phone", "value": who.phone},
            "email": {"kind": "email", "value": who.email},
        }[by]
        answers = [
            await http.post("/consents/decisions", json={"subject": subject} | SAID[said], headers=desk)
        ]
        if answers[0].status_code == 201:
            place = answers[0].headers["location"]
            assert answers[0].json()["status"] == "pending"
            answers += [await http.get(place + end, headers=desk) for end in ("", "/whereabouts")]
            # what this desk itself has said may be cited, by either name
            lifts = [answers[0].json()["decision"]]
            body = {"subject": subject, "act": "lifting", **YES, "lifts": lifts}
            answers.append(await http.post("/consents/decisions", json=body, headers=desk))
        for end in ("permissions", "explanation"):
            answers.append(
                await http.get(f"/consents/customers/{world.key('company.kauppa', who)}/{end}", headers=desk)
            )
        forms.append([form(answer) for answer in answers])
    assert forms[0] == forms[1]


async def test_a_no_of_anothers_customer_binds_them_all_the_same(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    theirs = Someone(("sahko",))
    await world.know(theirs)
    """By an address; an id of its own the company has of its own customers alone."""
    await ban(http, {"kind": "phone", "value": theirs.phone}, "desk@kauppa")
    assert "phone" not in await world.allowed(theirs, "company.sahko")


async def test_of_a_shared_address_a_company_hears_of_its_own_customers_alone(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    mine = Someone()
    theirs = Someone(("sahko",), phone=mine.phone)
    await world.know(mine, theirs)
    await ban(http, {"customer": str(theirs.id)})
    subject = {"kind": "phone", "value": mine.phone}
    receipt = await ban(http, subject, "desk@kauppa")
    assert receipt["status"] == "in_force"
    body = {"subject": subject, "act": "lifting", **YES, "lifts": [receipt["decision"]]}
    answer = await http.post("/consents/decisions", json=body, headers=as_("desk@kauppa"))
    assert answer.json()["remaining_restrictions"] == [receipt["reference"]], "not the other's own ban"
    shown = await http.get(answer.headers["location"], headers=as_("desk@kauppa"))
    assert shown.json()["lifts"] == [receipt["reference"]]


async def test_a_company_sees_its_own_alone(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    mine = {"customer": world.key("company.sahko", who)}
    receipt = await ban(http, mine, "desk@sahko", reach="company", company="sahko")
    group = await ban(http, {"customer": str(who.id)}, channels=["phone"])
    assert [v["family"] for v in receipt["affected"]["versions"]] == ["company.sahko"]
    reference = receipt["reference"]
    assert receipt["decision"] == reference
    assert world.keys.from_pairwise("company.sahko", reference) is not None

    path = f"/consents/customers/{world.key('company.kauppa', who)}"
    seen = (await http.get(f"{path}/explanation", headers=as_("desk@kauppa"))).json()
    assert {v["company"] for v in seen["verdicts"]} == {"kauppa"}
    wanted = world.keys.pairwise("company.kauppa", UUID(group["decision"]))
    assert seen["restrictions"] == [wanted]
    assert [d["id"] for d in seen["decisions"]] == [wanted]
    text = str(seen)
    assert receipt["decision"] not in text
    assert group["decision"] not in text
    assert reference not in text
    assert problem(await http.get(f"{path}/explanation?company=sahko", headers=as_("desk@kauppa")))[0] == 403
    for end in ("", "/whereabouts"):
        answer = await http.get(f"/consents/decisions/{receipt['decision']}{end}", headers=as_("desk@kauppa"))
        assert problem(answer)[:2] == (404, "unknown-decision")
    other = Someone(("sahko",))
    await world.know(other)
    key = world.key("company.kauppa", other)
    answer = await http.get(f"/consents/customers/{key}/permissions", headers=as_("desk@kauppa"))
    assert problem(answer)[:2] == (404, "unknown-customer")

    lifted = await http.post(
        "/consents/decisions",
        json={
            "subject": {"customer": world.key("company.kauppa", who)},
            "act": "lifting",
            "reach": "company",
            "company": "kauppa",
            "lifts": [wanted],
        },
        headers=as_("desk@kauppa"),
    )
    assert lifted.status_code == 201, lifted.text
    assert lifted.json()["remaining_restrictions"] == [wanted], "of the group's ban only this company's part"
    assert "phone" in await world.allowed(who)


async def test_permissions_and_why(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    receipt = await ban(http, {"customer": str(who.id)}, channels=["phone"])
    found = (await http.get(f"/consents/customers/{who.id}/permissions")).json()
    assert {p["channel"] for p in found["permissions"]} == {"post"}
    assert [r["id"] for r in found["restrictions"]] == [receipt["decision"]]
    why = (await http.get(f"/consents/customers/{who.id}/explanation?company=kauppa&channel=phone")).json()
    verdicts = why["verdicts"]
    assert {v["channel"] for v in verdicts} == {"phone"}
    assert all(not v["allowed"] and v["section"] for v in verdicts)
    assert {v["reason"] for v in verdicts} == {"restricted"}
    assert {d for v in verdicts for d in v["decisions"]} == {receipt["decision"]}


async def test_a_yes_says_what_is_left(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    first, second = [(await ban(http, {"customer": str(who.id)}))["decision"] for _ in range(2)]
    answer = await http.post(
        "/consents/decisions",
        json={"subject": {"customer": str(who.id)}, "act": "lifting", "lifts": [first]},
    )
    assert answer.json()["remaining_restrictions"] == [second]


async def test_a_repeated_request_gets_the_first_answer(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    who = Someone()
    await world.know(who)
    body = {"subject": {"customer": str(who.id)}, "act": "ban"}
    headers = {"Idempotency-Key": "once"}
    answers = [await http.post("/consents/decisions", json=body, headers=headers) for _ in range(3)]
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["decision"] for a in answers}) == 1
    assert await world.pool.fetchval("SELECT count(*) FROM decisions") == 1
    other = await http.post("/consents/decisions", json=body | {"channels": ["sms"]}, headers=headers)
    assert problem(other)[:2] == (422, "idempotency-key-reused")
    assert await world.pool.fetchval("SELECT count(*) FROM decisions") == 1


async def test_a_company_knows_customers_and_addresses_by_its_own_ids(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    ident = world.key("company.kauppa", who)
    text = ""
    for end in ("permissions", "explanation"):
        answer = await http.get(f"/consents/customers/{ident}/{end}", headers=as_("desk@kauppa"))
        assert answer.json()["customer"] == ident
        text += answer.text
    for ours in (who.id, who.phone_id, who.email_id, who.post):
        assert str(ours) not in text
    assert world.keys.pairwise("company.kauppa", who.phone_id) in text
    group = await http.get(f"/consents/customers/{who.id}/permissions")
    assert group.json()["customer"] == str(who.id)


async def test_another_companys_id_is_nobodys(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    """Ours, another company's, another's customer's, a random one: the same answer as of somebody unknown."""
    who, theirs = Someone(("kauppa", "sahko")), Someone(("sahko",))
    await world.know(who, theirs)
    idents = [
        str(who.id),
        world.key("company.sahko", who),
        world.key("company.kauppa", theirs),
        "0" * 64,
        str(uuid4()),
    ]
    forms = [
        form(await http.get(f"/consents/customers/{ident}/permissions", headers=as_("desk@kauppa")))
        for ident in idents
    ]
    assert {status for status, _, _ in forms} == {404}
    assert all(one == forms[0] for one in forms)
    ours = await http.get(f"/consents/customers/{world.key('company.kauppa', who)}/permissions")
    assert problem(ours)[:2] == (404, "unknown-customer")
    refused = {"subject": {"customer": str(who.id)}, "act": "ban"}
    answer = await http.post("/consents/decisions", json=refused, headers=as_("desk@kauppa"))
    assert problem(answer) == (422, "invalid-request", ["subject.customer"])


async def test_one_id_of_a_decision_works_everywhere(http: httpx.AsyncClient, world: ConsentsWorld) -> None:
    """The reference of the receipt, and the id that the company's own library gave it."""
    who, own = Someone(("kauppa", "sahko")), uuid4()
    await world.know(who)
    desk, ident = as_("desk@kauppa"), world.key("company.kauppa", who)
    receipt = await ban(http, {"customer": ident}, "desk@kauppa")
    sent = await world.decide(
        world.by_id(who), id=decision_id("company.kauppa", own), party="company.kauppa", by_topic=True
    )
    reference = world.keys.pairwise("company.kauppa", sent.decision.id)
    for known, shown in ((receipt["decision"], receipt["decision"]), (str(own), reference), (reference,) * 2):
        answer = await http.get(f"/consents/decisions/{known}", headers=desk)
        assert (answer.status_code, answer.json()["id"], answer.json()["customer"]) == (200, shown, ident)
        answer = await http.get(f"/consents/decisions/{known}/whereabouts", headers=desk)
        assert answer.json()["decision"] == shown
    assert (await http.get(f"/consents/decisions/{sent.decision.id}")).json()["id"] == str(sent.decision.id)
    lifting = {"subject": {"customer": ident}, "act": "lifting", **YES}
    for cited in (str(own), receipt["decision"]):
        answer = await http.post("/consents/decisions", json=lifting | {"lifts": [cited]}, headers=desk)
        assert answer.status_code == 201, answer.text
    foreign = [str(sent.decision.id), str(uuid4()), world.keys.pairwise("company.sahko", sent.decision.id)]
    forms = [form(await http.get(f"/consents/decisions/{x}", headers=desk)) for x in (*foreign, "f" * 64)]
    assert forms == [forms[0]] * 4
    assert forms[0][0] == 404
    for other in (str(own), reference):
        answer = await http.get(f"/consents/decisions/{other}", headers=as_("desk@sahko"))
        assert form(answer) == forms[0]


@pytest.mark.parametrize("said", [{"act": "consent", **YES}, {"act": "lifting", **YES, "lifts": ["f" * 64]}])
@pytest.mark.parametrize("by", ["customer", "number", "phone"])
async def test_a_yes_about_nobody_known_yet_is_to_be_asked_again(
    http: httpx.AsyncClient, world: ConsentsWorld, by: str, said: dict[str, Any]
) -> None:
    """The same answer of a stranger and of another company's customer; a consent is taken once the customer came."""
    who, theirs = Someone(), Someone(("sahko",))
    await world.know(theirs)
    desk = as_("desk@kauppa")

    def subject(of: Someone) -> dict[str, str]:
        return {
            "customer": {"customer": world.key("company.kauppa", of)},
            "number": {"company": "kauppa", "number": of.id.hex[:12]},
            "phone": {"kind": "phone", "value": of.phone},
        }[by]

    answers = [
        await http.post("/consents/decisions", json={"subject": subject(of)} | said, headers=desk)
        for of in (who, theirs)
    ]
    assert problem(answers[0]) == (409, "subject-not-known-yet", ["subject"])
    assert answers[0].headers["retry-after"] == "1"
    assert form(answers[0]) == form(answers[1])
    assert await world.pool.fetchval("SELECT count(*) FROM decisions") == 0
    await world.know(who)
    again = await http.post("/consents/decisions", json={"subject": subject(who)} | said, headers=desk)
    assert again.status_code == (201 if said["act"] == "consent" else 422), again.text
