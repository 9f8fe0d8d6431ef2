"""What the steps share: submitting a decision, asking the receivers, and noting when each of them denied."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

from deploy.local.demo.people import PRODUCT_GROUP, DemoPerson
from deploy.local.demo.register import DemoRegister
from deploy.local.demo.results import DemoStep
from deploy.local.demo.world import DemoWorld

ALLOWED, DENIED = "allowed", "denied"
NO = (DENIED,)
OWN, PARTNERS = "own_marketing", "partner_marketing"


def receivers_of(world: DemoWorld, person: DemoPerson) -> list[str]:
    """The receivers whose company knows the person."""
    return [r for r, party in world.parties.items() if party.id in person.companies]


def own_phone(world: DemoWorld, receiver: str, customer: UUID) -> dict[str, Any]:
    """The question whether the receiver's company may text the customer about its own products."""
    company = world.parties[receiver].id
    ident = world.ident(world.parties[receiver], customer)
    return {"purpose": OWN, "channel": "sms", "customer": ident, "product_group": PRODUCT_GROUP[company]}


async def give(world: DemoWorld, step: DemoStep, decision: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """POST a decision; return the receipt and the time when it came."""
    receipt = await world.call(
        "POST", "/consents/decisions", decision, headers={"Idempotency-Key": str(uuid4())}
    )
    step.decisions += 1
    return receipt, time.time()


def note(step: DemoStep, accepted: float, receivers: Iterable[str], seen: Iterable[dict[str, Any]]) -> bool:
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


async def launched(world: DemoWorld, ident: str) -> dict[str, Any]:
    """Wait until the campaign's audience, or its disclosures, are complete; return the campaign."""
    while True:
        found = await world.call("GET", f"/marketing/campaigns/{ident}")
        if found["state"] == "launched":
            return found
        await asyncio.sleep(0.05)
