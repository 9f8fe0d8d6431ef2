"""Bans given at one company's own desk."""

import asyncio

from deploy.local.demo.register import DemoRegister
from deploy.local.demo.results import DemoStep
from deploy.local.demo.steps.common import DENIED, NO, note, own_phone, receivers_of, until_allowed
from deploy.local.demo.world import DemoWorld


async def taken_by_company(world: DemoWorld, step: DemoStep, register: DemoRegister, count: int) -> None:
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
    step.shown = f"{at_once} of {count} denied at the company at once, and at the others soon after"
