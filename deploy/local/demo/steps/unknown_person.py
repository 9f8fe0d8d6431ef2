"""A ban before the person is known."""

import asyncio
import json

from deploy.local.demo.people import DemoPerson, row
from deploy.local.demo.results import DemoStep
from deploy.local.demo.steps.common import ALLOWED, DENIED, OWN, give
from deploy.local.demo.world import CAMPAIGNS, DemoWorld


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
    pending = receipt["status"] == "pending"
    created = report[0]["status"] == "created"
    step.ok = (
        pending and created and all(a["reason"] == DENIED and ALLOWED not in a["before"] for a in answers)
    )
    step.shown = f"accepted as {receipt['status']}, then {report[0]['status']}: never permitted anywhere"
