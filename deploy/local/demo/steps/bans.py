"""Bans one after another, each watched at every company that knows the person."""

import asyncio
from collections.abc import Callable

from deploy.local.demo.register import DemoRegister
from deploy.local.demo.results import DemoStep
from deploy.local.demo.steps.common import NO, give, note, own_phone, receivers_of, until_allowed
from deploy.local.demo.world import DemoWorld


async def bans(
    world: DemoWorld, step: DemoStep, register: DemoRegister, numbers: list[str], first: Callable[[], None]
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


async def ban(world: DemoWorld, step: DemoStep, register: DemoRegister, number: str) -> bool:
    """Ban everything for one person, and note when each receiver denied. False if one of them never did."""
    person, customer = register.people[number], register.ids[number]
    receivers = receivers_of(world, person)
    watches = [asyncio.create_task(world.watch(r, own_phone(world, r, customer), *NO)) for r in receivers]
    await asyncio.sleep(0.01)  # the watches are under way, so that no receiver is noticed late
    _, accepted = await give(world, step, {"subject": {"customer": str(customer)}, "act": "ban"})
    return note(step, accepted, receivers, await asyncio.gather(*watches))
