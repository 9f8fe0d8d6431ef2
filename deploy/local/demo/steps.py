"""The steps of the demo. Each submits decisions, and passes only by what the receivers' stores answer afterwards."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID, uuid4

from deploy.local.demo.people import PRODUCT_GROUP, DemoPerson, row
from deploy.local.demo.results import DemoStep
from deploy.local.demo.world import CAMPAIGNS, DemoRegister, DemoWorld

ALLOWED, DENIED = "allowed", "denied"
OWN, PARTNERS = "own_marketing", "partner_marketing"


async def bans(
    world: DemoWorld, step: DemoStep, register: DemoRegister, numbers: list[str], first: Callable[[], None]
) -> None:
    """Bans one after another; each reaches every company that knows the person. `first()` after the first one."""
    await until_allowed(world, register, numbers)
    good = []
    for number in numbers:
        receivers = receivers_of(world, register.people[number])
        watches = [watch_denial(world, r, register.ids[number]) for r in receivers]
        await asyncio.sleep(0.01)  # the watches are under way, so that no receiver is noticed late
        accepted = await ban(world, step, register.ids[number])
        good.append(note(step, accepted, receivers, await asyncio.gather(*watches)))
        if len(good) == 1:
            first()
    step.ok = all(good)
    step.shown = f"{sum(good)} of {len(numbers)} bans applied by every company that knows the person"


async def taken_by_company(world: DemoWorld, step: DemoStep, register: DemoRegister, count: int) -> None:
    """A desk of liittyma takes bans; its own system denies at once, the other companies' follow."""
    numbers = register.pick("liittyma", count, also="kauppa")
    await until_allowed(world, register, numbers)
    at_once = 0
    for number in numbers:
        customer = register.ids[number]
        others = [r for r in receivers_of(world, register.people[number]) if r != "liittyma-crm"]
        watches = [watch_denial(world, r, customer) for r in others]
        await asyncio.sleep(0.01)
        taken = await world.ask("liittyma-crm", "/submit", {"number": number, "act": "ban"})
        step.decisions += 1
        own = await world.ask("liittyma-crm", "/may", own_phone(world, "liittyma-crm", customer))
        at_once += own["reason"] == DENIED
        note(step, taken["at"], others, await asyncio.gather(*watches))
    step.ok = at_once == count and step.lost == 0
    step.shown = f"{at_once} of {count} denied at the company at once, and at the others soon after"


async def unknown_person(world: DemoWorld, step: DemoStep, person: DemoPerson) -> None:
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
    never_permitted = all(a["reason"] == DENIED and ALLOWED not in a["before"] for a in answers)
    step.ok = receipt["status"] == "pending" and report[0]["status"] == "created" and never_permitted
    step.shown = f"accepted as {receipt['status']}, then {report[0]['status']}: never permitted anywhere"


async def killed(world: DemoWorld, step: DemoStep, register: DemoRegister, count: int) -> None:
    """SIGKILL a subscriber, give bans meanwhile, start it again: it catches up from its own store."""
    name = "sahko-crm"
    numbers = register.pick("sahko", count)
    await until_allowed(world, register, numbers)
    world.receivers[name].kill()
    for number in numbers:
        await ban(world, step, register.ids[number])
    began = time.time()
    await asyncio.to_thread(world.restart, name)
    questions = [own_phone(world, name, register.ids[n]) for n in numbers]
    answers = await asyncio.gather(*(world.watch(name, q, DENIED, ALLOWED) for q in questions))
    step.ok = note(step, began, [name] * count, answers) and all(a["reason"] == DENIED for a in answers)
    caught_up = max(a["at"] or 0 for a in answers) - began
    step.shown = f"{count} bans while it was killed; it had all {caught_up:.1f} s after its start"


async def without_kafka(world: DemoWorld, step: DemoStep, register: DemoRegister, count: int) -> None:
    """Bans while Kafka is down are accepted, and delivered when it is back."""
    numbers = register.pick("kauppa", count)
    await until_allowed(world, register, numbers)
    await asyncio.to_thread(world.stack.kafka.kill)
    slowest = 0.0
    for number in numbers:
        began = time.time()
        slowest = max(slowest, await ban(world, step, register.ids[number]) - began)
    await asyncio.to_thread(world.stack.kafka.start)
    back = time.time()
    pairs = [(r, register.ids[n]) for n in numbers for r in receivers_of(world, register.people[n])]
    answers = await asyncio.gather(*(watch_denial(world, r, customer) for r, customer in pairs))
    step.ok = note(step, back, [r for r, _ in pairs], answers)
    step.shown = (
        f"{count} bans accepted within {slowest * 1000:.0f} ms each while Kafka was down, and all delivered"
    )


def receivers_of(world: DemoWorld, person: DemoPerson) -> list[str]:
    """The receivers whose company knows the person."""
    return [r for r, party in world.parties.items() if party.id in person.companies]


def own_phone(world: DemoWorld, receiver: str, customer: UUID) -> dict[str, Any]:
    """The question whether the receiver's company may text the customer about its own products."""
    company = world.parties[receiver].id
    ident = world.ident(world.parties[receiver], customer)
    return {"purpose": OWN, "channel": "sms", "customer": ident, "product_group": PRODUCT_GROUP[company]}


def watch_denial(world: DemoWorld, receiver: str, customer: UUID) -> asyncio.Task[dict[str, Any]]:
    """Begin to wait until the receiver may no longer text the customer."""
    return asyncio.create_task(world.watch(receiver, own_phone(world, receiver, customer), DENIED))


async def give(world: DemoWorld, step: DemoStep, decision: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """POST a decision; return the receipt and the time when it came."""
    receipt = await world.call(
        "POST", "/consents/decisions", decision, headers={"Idempotency-Key": str(uuid4())}
    )
    step.decisions += 1
    return receipt, time.time()


async def ban(world: DemoWorld, step: DemoStep, customer: UUID) -> float:
    """Ban everything for one person; return the time when the ban was accepted."""
    return (await give(world, step, {"subject": {"customer": str(customer)}, "act": "ban"}))[1]


def note(step: DemoStep, accepted: float, receivers: Iterable[str], seen: Iterable[dict[str, Any]]) -> bool:
    """Note when each receiver denied. False if one of them never did."""
    good = True
    for receiver, answer in zip(receivers, seen, strict=True):
        if answer["at"] is None:
            step.lost += 1
            good = False
        else:
            step.took(receiver, max(0.0, answer["at"] - accepted))
    return good


async def until_allowed(world: DemoWorld, register: DemoRegister, numbers: Iterable[str]) -> None:
    """Wait until the receivers know these people and their gates are open."""
    watches = [
        world.watch(r, own_phone(world, r, register.ids[n]), ALLOWED)
        for n in numbers
        for r in receivers_of(world, register.people[n])
    ]
    for answer in await asyncio.gather(*watches):
        if answer["at"] is None:
            raise RuntimeError(f"a receiver denies what it should permit: {answer['reason']}")
