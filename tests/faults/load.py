"""The load of one seed: decisions at random, people who say no once and for all, and senders who ask all the time."""

import asyncio
import random
from typing import Any
from uuid import UUID

import httpx

from deploy.local import ports
from tests.e2e.driver import Driver
from tests.e2e.workload import COMPANIES, WorkloadStep, at, steps
from tests.faults.history import History
from tests.faults.world import FaultWorld

MIXED = 100
"""Customers who say yes and no as it comes; those behind them say no once."""
NO_PER_SEED = 40
RACERS = 4
"""Customers in a contended load."""
ASK_SECONDS = 0.04
"""Between two questions of one sender."""


class Load(Driver):
    """Writes what it does into the history: `invoke` and `ok` of each decision, `may` of each question."""

    def __init__(self, world: FaultWorld, customers: int, history: History) -> None:
        super().__init__(world, customers)
        self.history = history
        self.unknown = 0

    def expand(self, seed: int, first: int, decisions: int, contended: bool) -> list[WorkloadStep]:
        """`first`: the first of NO_PER_SEED customers that nobody has used yet."""
        rng = random.Random(f"load/{seed}")
        mixed = list(steps(seed, decisions - NO_PER_SEED, RACERS if contended else MIXED))
        known = [None] * len(mixed) + list(range(first, first + NO_PER_SEED))
        rng.shuffle(known)
        return _merged(mixed, known, rng)

    async def _one(self, first: int, index: int, step: WorkloadStep, done: list[asyncio.Event]) -> None:
        number, once = first + index, step.customer >= MIXED
        self.history.add(
            "invoke", n=number, via=step.via, act=step.body["act"], customer=step.customer, once=once
        )
        try:
            await super()._one(first, index, step, done)
        except TimeoutError:
            self.unknown += 1
            self.history.add("unknown", n=number)
            return
        taken = number in self.acknowledged
        self.history.add("ok" if taken else "fail", n=number, via=step.via, customer=step.customer, once=once)

    async def ask_on(self, follower: str, customers: range, over: asyncio.Event) -> None:
        """A sender: asks the follower's gate about those who say no once, all the time."""
        party, rng = self.cluster.party(follower), random.Random(follower)
        kind, _, company = party.partition(".")
        if kind != "company":
            return
        url = f"http://{ports.LOOPBACK}:{self.cluster.ports[follower]}/may"
        while not over.is_set():
            await asyncio.sleep(ASK_SECONDS)
            customer = rng.choice(customers)
            question = {
                "purpose": "own_marketing",
                "channel": "phone",
                "address": self.phone(customer),
                "customer": self.cluster.ident(party, self.ids[customer]),
            }
            asked = self.history.now()
            try:
                answer: dict[str, Any] = (await self.cluster.http.post(url, json=question, timeout=5)).json()
            except (httpx.HTTPError, ValueError):
                continue
            self.history.add(
                "may",
                who=follower,
                company=company,
                customer=customer,
                asked=round(asked, 6),
                allowed=answer["allowed"],
                reason=answer["reason"],
            )


def _merged(mixed: list[WorkloadStep], known: list[int | None], rng: random.Random) -> list[WorkloadStep]:
    """`mixed` with the bans in between; the steps that one lifts are renumbered."""
    merged: list[WorkloadStep] = []
    places: list[int] = []
    rest = iter(mixed)
    for customer in known:
        if customer is None:
            step = next(rest)
            places.append(len(merged))
            lifts = tuple(places[i] for i in step.lifts)
            merged.append(WorkloadStep(step.ident, step.via, step.customer, step.subject, step.body, lifts))
        else:
            via = rng.choices(("http", *COMPANIES), (70, 10, 10, 10))[0]
            ban = at(customer, via, {"act": "ban"})
            merged.append(
                WorkloadStep(UUID(int=rng.getrandbits(128), version=4), via, customer, ban.subject, ban.body)
            )
    return merged
