"""The steps of the demo. Each gives decisions, and is ok only by what the receivers' own stores say afterwards."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID, uuid4

from deploy.local.demo.people import PRODUCT_GROUP, Person, row
from deploy.local.demo.results import Step
from deploy.local.demo.world import CAMPAIGNS, World

ALLOWED, DENIED = "allowed", "denied"
NO = (DENIED,)
OWN, PARTNERS = "own_marketing", "partner_marketing"


class Register:
    """Who was imported: each person's id in the register, and where they are customers."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ids: dict[str, UUID] = {}
        self.people: dict[str, Person] = {}
        self.used: set[str] = set()

    def pick(self, company: str, count: int, *, also: str | None = None) -> list[str]:
        """People of a company of whom no step has told anything yet, the last of the register first."""
        found = [
            n for n in reversed(self.of(company, also=also)) if n not in self.used and self.people[n].phone
        ]
        self.used.update(found[:count])
        return found[:count]

    async def take_in(self, people: list[Person]) -> list[dict[str, Any]]:
        """Import company by company; returns the refused rows' reports, with the number they are about."""
        refused = []
        for company in PRODUCT_GROUP:
            theirs = [p for p in people if company in p.companies]
            if not theirs:
                continue
            report = await self.world.import_rows(
                company, (json.dumps(row(p, company)).encode() for p in theirs)
            )
            for line in report[:-1]:
                person = theirs[line["row"] - 1]
                if line["status"] == "refused":
                    refused.append({"number": person.number, "company": company, **line})
                else:
                    self.ids[person.number], self.people[person.number] = UUID(line["id"]), person
        return refused

    def of(self, company: str, *, also: str | None = None) -> list[str]:
        """Numbers of the people of a company (and also of another), in the register's order."""
        return [
            n
            for n, p in self.people.items()
            if company in p.companies and (also is None or also in p.companies)
        ]


def receivers_of(world: World, person: Person) -> list[str]:
    """The receivers whose company knows the person."""
    return [r for r, party in world.parties.items() if party.partition(".")[2] in person.companies]


def own_phone(world: World, receiver: str, customer: UUID) -> dict[str, Any]:
    """May the receiver's company call or text the customer with its own products?"""
    company = world.parties[receiver].partition(".")[2]
    ident = world.ident(world.parties[receiver], customer)
    return {"purpose": OWN, "channel": "sms", "customer": ident, "product_group": PRODUCT_GROUP[company]}


async def give(world: World, step: Step, decision: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """POST a decision; the receipt, and when it was in our hands."""
    receipt = await world.call(
        "POST", "/consents/decisions", decision, headers={"Idempotency-Key": str(uuid4())}
    )
    step.decisions += 1
    return receipt, time.time()


async def ban(world: World, step: Step, register: Register, number: str) -> bool:
    """Ban everything for one person, and note when each receiver's store said no. False if one never did."""
    person, customer = register.people[number], register.ids[number]
    receivers = receivers_of(world, person)
    watches = [asyncio.create_task(world.watch(r, own_phone(world, r, customer), *NO)) for r in receivers]
    await asyncio.sleep(0.01)  # the watches are under way, so that no receiver is noticed late
    _, accepted = await give(world, step, {"subject": {"customer": str(customer)}, "act": "ban"})
    return note(step, accepted, receivers, await asyncio.gather(*watches))


def note(step: Step, accepted: float, receivers: Iterable[str], seen: Iterable[dict[str, Any]]) -> bool:
    good = True
    for receiver, answer in zip(receivers, seen, strict=True):
        if answer["at"] is None:
            step.lost += 1
            good = False
        else:
            step.took(receiver, max(0.0, answer["at"] - accepted))
    return good


async def until_allowed(world: World, register: Register, numbers: Iterable[str]) -> None:
    """The receivers have heard of these people, and their gates are open."""
    watches = [
        world.watch(r, own_phone(world, r, register.ids[n]), ALLOWED)
        for n in numbers
        for r in receivers_of(world, register.people[n])
    ]
    for answer in await asyncio.gather(*watches):
        if answer["at"] is None:
            raise RuntimeError(f"a receiver does not permit what it should: {answer['reason']}")


async def bans(
    world: World, step: Step, register: Register, numbers: list[str], first: Callable[[], None]
) -> None:
    """Bans one after another; each reaches every company that knows the person. `first()` after the first one."""
    await until_allowed(world, register, numbers)
    good = []
    for number in numbers:
        good.append(await ban(world, step, register, number))
        if len(good) == 1:
            first()
    step.ok = all(good)
    step.shown = f"{sum(good)} of {len(numbers)} bans applied by every company that knows the person"


async def campaign(world: World, step: Step, register: Register, count: int) -> None:
    """A text-message campaign of kauppa; recipients ban it half way; none of them gets one more message."""
    drafted = await world.call("POST", "/marketing/campaigns", {
        "company": "kauppa", "name": "Week's offers", "purpose": OWN, "channel": "sms",
        "product_group": PRODUCT_GROUP["kauppa"],
    })  # fmt: skip
    ident = drafted["id"]
    await world.call("POST", f"/marketing/campaigns/{ident}/launch")
    addressed = (await _launched(world, ident))["addressed"]
    queue = await _until(world, lambda q: len(q["waiting"]) >= addressed)
    await world.ask(CAMPAIGNS, "/pause/false")
    await _until(world, lambda q: q["sent"] >= addressed // 4)
    mine = {
        world.ident("company.kauppa", register.ids[n]): n
        for n in register.of("kauppa")
        if n not in register.used
    }
    waiting = (await world.ask(CAMPAIGNS, "/queue"))["waiting"]
    chosen = [subject for subject in waiting[len(waiting) // 2 :] if subject in mine][:count]
    register.used.update(mine[subject] for subject in chosen)
    accepted: dict[str, float] = {}
    for subject in chosen:
        customer = register.ids[mine[subject]]
        watch = asyncio.create_task(world.watch(CAMPAIGNS, own_phone(world, CAMPAIGNS, customer), *NO))
        await asyncio.sleep(0.005)
        _, accepted[subject] = await give(world, step, {"subject": {"customer": str(customer)}, "act": "ban"})
        note(step, accepted[subject], [CAMPAIGNS], [await watch])
    queue = await _until(world, lambda q: not q["waiting"])
    sent = [(s, at) for c, s, at in await world.ask(CAMPAIGNS, "/sent") if c == ident]
    step.sent_after_ban = sum(1 for s, at in sent if s in accepted and at > accepted[s])
    got = {s for s, _ in sent}
    stopped = [s for s in chosen if s not in got]
    counts = await _launched(world, ident)
    step.ok = len(chosen) == count and len(stopped) == count and step.lost == 0 and step.sent_after_ban == 0
    step.shown = (
        f"{addressed} addressed, {len(sent)} sent, {len(stopped)} of {count} stopped in mid-campaign "
        f"({counts['recalled']} recalled), {step.sent_after_ban} sent after the ban"
    )
    step.ok = step.ok and len(sent) + sum(queue["refused"].values()) == addressed


async def _launched(world: World, ident: str) -> dict[str, Any]:
    while True:
        found = await world.call("GET", f"/marketing/campaigns/{ident}")
        if found["state"] == "launched":
            return found
        await asyncio.sleep(0.05)


async def _until(world: World, done: Any, seconds: float = 120.0) -> dict[str, Any]:
    """The campaign system's queue once `done(queue)`; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            queue: dict[str, Any] = await world.ask(CAMPAIGNS, "/queue")
            if done(queue):
                return queue
            await asyncio.sleep(0.1)


async def partner_opt_out(world: World, step: Step, register: Register, count: int) -> None:
    """kauppa discloses people to its partner; some refuse the partner: it stops, kauppa's own marketing goes on."""
    drafted = await world.call("POST", "/marketing/campaigns", {
        "company": "kauppa", "name": "Journeys", "purpose": PARTNERS, "channel": "post",
        "partner": "matkat", "mode": "partner_sends",
    })  # fmt: skip
    await world.call("POST", f"/marketing/campaigns/{drafted['id']}/disclosures")
    await _launched(world, drafted["id"])
    numbers = register.pick("kauppa", count)
    questions = {
        n: {
            "purpose": PARTNERS, "channel": "post", "partner": "matkat", "mode": "partner_sends",
            "customer": world.ident("partner.matkat", register.ids[n]),
        }
        for n in numbers
    }  # fmt: skip
    before = await asyncio.gather(*(world.watch("matkat-crm", q, ALLOWED) for q in questions.values()))
    allowed = sum(1 for answer in before if answer["at"] is not None)
    kept = 0
    for number, question in questions.items():
        watch = asyncio.create_task(world.watch("matkat-crm", question, *NO))
        await asyncio.sleep(0.005)
        refusal = {
            "subject": {"customer": str(register.ids[number])},
            "act": "opt_out", "reach": "partner", "partner": "matkat",
        }  # fmt: skip
        _, accepted = await give(world, step, refusal)
        note(step, accepted, ["matkat-crm"], [await watch])
        answer = await world.ask("kauppa-crm", "/may", own_phone(world, "kauppa-crm", register.ids[number]))
        kept += answer["allowed"]
    step.ok = allowed == count and kept == count and step.lost == 0
    step.shown = (
        f"the partner had {allowed}, holds {count - step.lost} refusals; kauppa may still text {kept}"
    )


async def taken_by_company(world: World, step: Step, register: Register, count: int) -> None:
    """A desk of liittyma takes bans; its own system denies at once, the other companies' follow."""
    numbers = register.pick("liittyma", count, also="kauppa")
    await until_allowed(world, register, numbers)
    at_once = 0
    for number in numbers:
        customer = register.ids[number]
        others = [r for r in receivers_of(world, register.people[number]) if r != "liittyma-crm"]
        watches = [asyncio.create_task(world.watch(r, own_phone(world, r, customer), *NO)) for r in others]
        await asyncio.sleep(0.01)
        taken = await world.ask("liittyma-crm", "/submit", {"number": number, "act": "ban"})
        step.decisions += 1
        own = await world.ask("liittyma-crm", "/may", own_phone(world, "liittyma-crm", customer))
        at_once += own["reason"] == DENIED
        note(step, taken["at"], others, await asyncio.gather(*watches))
    step.ok = at_once == count and step.lost == 0
    step.shown = f"{at_once} of {count} denied at the company at once; the others' stores followed"


async def unknown_person(world: World, step: Step, person: Person) -> None:
    """A ban for a customer number that the register does not know; then the import that brings the person."""
    receipt, _ = await give(
        world, step, {"subject": {"company": "kauppa", "number": person.number}, "act": "ban"}
    )
    question = {"purpose": OWN, "channel": "sms", "number": person.number, "product_group": "groceries"}
    watches = [
        asyncio.create_task(world.watch(r, question, DENIED, ALLOWED)) for r in ("kauppa-crm", CAMPAIGNS)
    ]
    report = await world.import_rows("kauppa", [json.dumps(row(person, "kauppa")).encode()])
    answers = await asyncio.gather(*watches)
    pending = receipt["status"] == "pending"
    created = report[0]["status"] == "created"
    step.ok = (
        pending and created and all(a["reason"] == DENIED and ALLOWED not in a["before"] for a in answers)
    )
    step.shown = f"accepted as {receipt['status']}, then {report[0]['status']}: never permitted anywhere"


async def killed(world: World, step: Step, register: Register, count: int) -> None:
    """SIGKILL a subscriber, give bans meanwhile, start it again: it catches up from its own store."""
    name = "sahko-crm"
    numbers = register.pick("sahko", count)
    await until_allowed(world, register, numbers)
    world.receivers[name].kill()
    for number in numbers:
        await give(world, step, {"subject": {"customer": str(register.ids[number])}, "act": "ban"})
    began = time.time()
    await asyncio.to_thread(world.restart, name)
    questions = [own_phone(world, name, register.ids[n]) for n in numbers]
    answers = await asyncio.gather(*(world.watch(name, q, DENIED, ALLOWED) for q in questions))
    good = note(step, began, [name] * count, answers) and all(a["reason"] == DENIED for a in answers)
    step.ok = good
    caught_up = max(a["at"] or 0 for a in answers) - began
    step.shown = f"{count} bans while it was dead; all held {caught_up:.1f} s after its start"


async def without_kafka(world: World, step: Step, register: Register, count: int) -> None:
    """Bans while Kafka is down: accepted all the same, delivered when it is back."""
    numbers = register.pick("kauppa", count)
    await until_allowed(world, register, numbers)
    await asyncio.to_thread(world.stack.kafka.kill)
    slowest = 0.0
    for number in numbers:
        began = time.time()
        _, accepted = await give(
            world, step, {"subject": {"customer": str(register.ids[number])}, "act": "ban"}
        )
        slowest = max(slowest, accepted - began)
    await asyncio.to_thread(world.stack.kafka.start)
    back = time.time()
    pairs = [
        (r, own_phone(world, r, register.ids[n]))
        for n in numbers
        for r in receivers_of(world, register.people[n])
    ]
    answers = await asyncio.gather(*(world.watch(r, q, *NO) for r, q in pairs))
    step.ok = note(step, back, [r for r, _ in pairs], answers)
    step.shown = (
        f"{count} bans accepted within {slowest * 1000:.0f} ms each while Kafka was down, all delivered after"
    )
