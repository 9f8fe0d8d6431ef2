"""The steps of the demo with campaigns: bans in the middle of one, and refusals of a partner."""

import asyncio
from collections.abc import Callable
from typing import Any

from deploy.local.demo.people import PRODUCT_GROUP
from deploy.local.demo.results import DemoStep
from deploy.local.demo.steps import ALLOWED, DENIED, OWN, PARTNERS, ban, give, note, own_phone, watch_denial
from deploy.local.demo.world import CAMPAIGNS, DemoRegister, DemoWorld


async def campaign(world: DemoWorld, step: DemoStep, register: DemoRegister, count: int) -> None:
    """A text-message campaign of kauppa; recipients ban it when a quarter was sent; none of them gets one more message.

    They are spread over the second half of the queue: a ban takes a moment, and whose message goes out in that moment
    gets it.
    """
    drafted = await world.call("POST", "/marketing/campaigns", {
        "company": "kauppa", "name": "Week's offers", "purpose": OWN, "channel": "sms",
        "product_group": PRODUCT_GROUP["kauppa"],
    })  # fmt: skip
    ident = drafted["id"]
    await world.call("POST", f"/marketing/campaigns/{ident}/launch")
    addressed = (await launched(world, ident))["addressed"]
    await _until(world, lambda q: len(q["waiting"]) >= addressed)
    await world.ask(CAMPAIGNS, "/pause/false")
    await _until(world, lambda q: q["sent"] >= addressed // 4)
    mine = {
        world.ident("company.kauppa", register.ids[n]): n
        for n in register.of("kauppa")
        if n not in register.used
    }
    waiting = (await world.ask(CAMPAIGNS, "/queue"))["waiting"]
    chosen = spread([subject for subject in waiting if subject in mine], count)
    register.used.update(mine[subject] for subject in chosen)
    accepted: dict[str, float] = {}
    for subject in chosen:
        customer = register.ids[mine[subject]]
        watch = watch_denial(world, CAMPAIGNS, customer)
        await asyncio.sleep(0.005)
        accepted[subject] = await ban(world, step, customer)
        note(step, accepted[subject], [CAMPAIGNS], [await watch])
    queue = await _until(world, lambda q: not q["waiting"])
    sent = [(s, at) for c, s, at in await world.ask(CAMPAIGNS, "/sent") if c == ident]
    step.sent_after_ban = sum(1 for s, at in sent if s in accepted and at > accepted[s])
    got = {s for s, _ in sent}
    stopped = [s for s in chosen if s not in got]
    counts = await launched(world, ident)
    step.ok = len(chosen) == count and len(stopped) == count and step.lost == 0 and step.sent_after_ban == 0
    step.ok = step.ok and len(sent) + sum(queue["refused"].values()) == addressed
    step.shown = (
        f"{addressed} addressed, {len(sent)} sent, {len(stopped)} of {count} stopped in mid-campaign "
        f"({counts['recalled']} recalled), {step.sent_after_ban} sent after the ban; "
        "all of them in the second half of the queue"
    )


async def partner_opt_out(world: DemoWorld, step: DemoStep, register: DemoRegister, count: int) -> None:
    """kauppa discloses people to its partner; some refuse the partner: it stops, kauppa's own marketing goes on."""
    drafted = await world.call("POST", "/marketing/campaigns", {
        "company": "kauppa", "name": "Journeys", "purpose": PARTNERS, "channel": "post",
        "partner": "matkat", "mode": "partner_sends",
    })  # fmt: skip
    await world.call("POST", f"/marketing/campaigns/{drafted['id']}/disclosures")
    await launched(world, drafted["id"])
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
        watch = asyncio.create_task(world.watch("matkat-crm", question, DENIED))
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
        f"the partner might text {allowed}, {count - step.lost} are denied now; kauppa may still text {kept}"
    )


def spread(waiting: list[str], count: int) -> list[str]:
    """So many, at equal distances in the second half; the next in turn first, so that each is told in time."""
    half = waiting[len(waiting) // 2 :]
    count = min(count, len(half))
    return [half[(n + 1) * len(half) // count - 1] for n in range(count)]


async def launched(world: DemoWorld, ident: str) -> dict[str, Any]:
    """Wait until the campaign's audience, or its disclosures, are complete; return the campaign."""
    while True:
        found = await world.call("GET", f"/marketing/campaigns/{ident}")
        if found["state"] == "launched":
            return found
        await asyncio.sleep(0.05)


async def _until(
    world: DemoWorld, done: Callable[[dict[str, Any]], bool], seconds: float = 120.0
) -> dict[str, Any]:
    """The campaign system's queue once `done(queue)`; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            queue: dict[str, Any] = await world.ask(CAMPAIGNS, "/queue")
            if done(queue):
                return queue
            await asyncio.sleep(0.1)
