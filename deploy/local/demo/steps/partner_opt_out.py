"""A refusal of one partner."""

import asyncio

from deploy.local.demo.register import DemoRegister
from deploy.local.demo.results import DemoStep
from deploy.local.demo.steps.common import ALLOWED, NO, PARTNERS, give, launched, note, own_phone
from deploy.local.demo.world import DemoWorld


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
        f"the partner might text {allowed}, {count - step.lost} are denied now; kauppa may still text {kept}"
    )
