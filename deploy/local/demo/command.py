"""`./kielto demo`: eight steps with real Kafka, PostgreSQL and processes, on the people of public sample data."""

import argparse
import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console
from rich.live import Live

from deploy.local.demo import campaign_steps, steps
from deploy.local.demo.people import PRODUCT_GROUP, DemoPerson, chinook, foodmart
from deploy.local.demo.results import DemoResults, DemoStep
from deploy.local.demo.world import DemoRegister, DemoWorld
from deploy.local.install import jars
from deploy.local.paths import HOME
from deploy.local.progress import say

Work = Callable[[DemoStep], Awaitable[None]]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./kielto demo",
        description="Run bans through the services and five subscribers, and check that each arrives.",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the measured times to this file")
    parser.add_argument(
        "--first-ban", action="store_true", help="stop after the first bans (used by ./kielto bench start)"
    )
    given = parser.parse_args(arguments)
    folder = HOME / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    results = asyncio.run(run(folder, given.first_ban))
    if given.json:
        results.write(given.json)
    return 0 if results.ok else 1


async def run(folder: Path, first_ban: bool) -> DemoResults:
    """Run all steps and show each as it happens. A step that raises fails and ends the demo."""
    console = Console()
    data = {f.name.partition("-")[0]: f for f in jars.fetch("data")}
    say("starting PostgreSQL, Kafka, three services and five subscribers")
    began = time.monotonic()
    world = DemoWorld(folder)
    async with world.running():
        say(f"all processes are ready after {time.monotonic() - began:.1f} s; logs are in {folder}")
        results = DemoResults({"name": "Apache Kafka", "version": world.stack.kafka.version})
        register = DemoRegister(world)
        *known, late = chinook(data["chinook"])
        plan: list[tuple[str, Work]] = [("first bans", lambda s: first(world, s, register, results, known))]
        if not first_ban:
            plan += [
                (
                    "the register",
                    lambda s: bring(world, s, register, results, list(foodmart(data["foodmart"]))),
                ),
                ("mid-campaign", lambda s: campaign_steps.campaign(world, s, register, 25)),
                ("partner opt-out", lambda s: campaign_steps.partner_opt_out(world, s, register, 20)),
                ("taken by a company", lambda s: steps.taken_by_company(world, s, register, 20)),
                ("not yet known", lambda s: steps.unknown_person(world, s, late)),
                ("subscriber killed", lambda s: steps.killed(world, s, register, 20)),
                ("Kafka stopped", lambda s: steps.without_kafka(world, s, register, 10)),
            ]
        await play(world, results, plan, console)
        results.show(list(world.parties), console)
    return results


async def play(
    world: DemoWorld, results: DemoResults, plan: list[tuple[str, Work]], console: Console
) -> None:
    receivers = list(world.parties)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        for name, work in plan:
            step = DemoStep(name)
            results.steps.append(step)
            task = asyncio.ensure_future(work(step))
            while not task.done():
                live.update(results.table(receivers, running=name))
                await asyncio.wait([task], timeout=0.25)
            if (error := task.exception()) is not None:
                step.ok, step.shown = False, f"{type(error).__name__}: {error}"
                return


async def first(
    world: DemoWorld, step: DemoStep, register: DemoRegister, results: DemoResults, people: list[DemoPerson]
) -> None:
    """A small import, then the first bans."""
    await bring(world, DemoStep("import"), register, results, people)

    def noted() -> None:
        results.first_ban_applied_at = time.time()

    await steps.bans(world, step, register, register.pick("kauppa", 20), noted)


async def bring(
    world: DemoWorld, step: DemoStep, register: DemoRegister, results: DemoResults, people: list[DemoPerson]
) -> None:
    """Import people. A row whose phone number cannot be read is imported without it. All must reach their companies."""
    began = time.monotonic()
    told = await register.take_in(people)
    refused = [line for line in told if line["status"] == "refused"]
    results.customers = len(register.ids)
    for company in PRODUCT_GROUP:
        await steps.until_allowed(
            world, register, [n for n in register.of(company) if register.people[n].phone][-3:]
        )
    step.ok = not refused
    why = next((problem["rule"] for line in told for problem in line.get("warnings", ())), "none")
    step.shown = (
        f"{len(people)} people imported and permitted at their companies in {time.monotonic() - began:.1f} s; "
        f"{len(told) - len(refused)} rows imported without their phone number ({why}), {len(refused)} refused"
    )
