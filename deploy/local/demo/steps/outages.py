"""A killed subscriber, and a killed broker."""

import asyncio
import time

from deploy.local.demo.register import DemoRegister
from deploy.local.demo.results import DemoStep
from deploy.local.demo.steps.common import (
    ALLOWED,
    DENIED,
    NO,
    give,
    note,
    own_phone,
    receivers_of,
    until_allowed,
)
from deploy.local.demo.world import DemoWorld


async def killed(world: DemoWorld, step: DemoStep, register: DemoRegister, count: int) -> None:
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
    step.shown = f"{count} bans while it was killed; it had all {caught_up:.1f} s after its start"


async def without_kafka(world: DemoWorld, step: DemoStep, register: DemoRegister, count: int) -> None:
    """Bans while Kafka is down are accepted, and delivered when it is back."""
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
        f"{count} bans accepted within {slowest * 1000:.0f} ms each while Kafka was down, and all delivered"
    )
