"""Gives the workload to a cluster: customers by import, decisions by HTTP and by companies' own systems."""

import asyncio
import json
import time
from collections import Counter
from typing import Any
from uuid import UUID

from deploy.local import ports
from tests.e2e.cluster import Cluster
from tests.e2e.scanner import LeakFinding, search
from tests.e2e.workload import COMPANIES, PARTNER, WorkloadStep

GROUPS = {"kauppa": "groceries", "liittyma": "mobile", "sahko": "electricity"}
IDENTITY_CODE = "131052-308T"
"""The example of the Digital and Population Data Services Agency; nobody's."""
METHOD = "PLANTED-SALAISUUS"
"""Of a request: a caller may put anything there, and a metric's label is read by many."""


class Driver:
    """`acknowledged`: by step, what was promised: the decision's id and how it went in."""

    def __init__(self, cluster: Cluster, customers: int) -> None:
        self.cluster, self.count = cluster, customers
        self.ids: list[UUID] = []
        self.acknowledged: dict[int, tuple[str, UUID]] = {}
        self.yeses: set[int] = set()
        self._given = 0
        self.outcomes: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()

    @property
    def planted(self) -> list[str]:
        return [IDENTITY_CODE, METHOD, *(self.email(n) for n in range(5)), *(self.phone(n) for n in range(5))]

    def email(self, n: int) -> str:
        return f"Planted.Person{n}@salaisuus.example.com"

    def phone(self, n: int) -> str:
        return f"040 77{n:05d}"

    def number(self, n: int) -> str:
        return f"N{n:05d}"

    async def bring_customers(self) -> None:
        """Every customer is known to all three companies; two share each e-mail address of the first ten."""
        found: dict[int, str] = {}
        for company in COMPANIES:
            rows = b"".join(json.dumps(self.row(n, company)).encode() + b"\n" for n in range(self.count))
            url = f"http://{ports.LOOPBACK}:{self.cluster.ports['customers']}/customers/imports?company={company}"
            headers = {
                "Authorization": f"Bearer {self.cluster.token}",
                "Content-Type": "application/x-ndjson",
            }
            response = await self.cluster.http.post(url, content=rows, headers=headers, timeout=120)
            for line in map(json.loads, response.text.splitlines()):
                assert line.get("status") != "refused", line
                if "id" in line:
                    found[line["row"] - 1] = line["id"]
        self.ids = [UUID(found[n]) for n in range(self.count)]
        await self.disclose()

    def row(self, n: int, company: str) -> dict[str, Any]:
        sale = {
            "seller": company,
            "date": "2026-01-15",
            "product_group": GROUPS[company],
            "ban_offered": True,
        }
        shared = n - 1 if n < 10 and n % 2 else n
        row: dict[str, Any] = {
            "number": self.number(n),
            "name": f"Planted Person {n}",
            "points": [
                {"kind": "email", "value": self.email(shared), "sales": [sale]},
                {"kind": "phone", "value": self.phone(n), "sales": [sale]},
                {
                    "kind": "post",
                    "address": {"street": f"Katu {n}", "postal_code": "00100", "city": "HELSINKI"},
                },
            ],
        }
        if n == 0:
            row["identity_code"] = IDENTITY_CODE
        if company != COMPANIES[0]:
            row["same_as"] = {"company": COMPANIES[0], "number": self.number(n)}
        return row

    async def disclose(self) -> None:
        """Everyone is disclosed to the partner, so that its topics are held against the primary too."""
        body = {"company": COMPANIES[0], "name": "e2e", "purpose": "partner_marketing", "channel": "post"}
        campaign = await self.cluster.call(
            "POST", "/marketing/campaigns", body | {"partner": PARTNER, "mode": "partner_sends"}
        )
        ident = campaign.json()["id"]
        async with asyncio.timeout(120):
            await self._until_permitted()
            await self.cluster.call("POST", f"/marketing/campaigns/{ident}/disclosures")
            await self._until_launched(ident)

    async def _until_launched(self, campaign: str) -> None:
        while True:
            found = await self.cluster.call("GET", f"/marketing/campaigns/{campaign}")
            if found.json()["state"] == "launched":
                return
            await asyncio.sleep(0.1)

    async def _until_permitted(self) -> None:
        """consents knows the last customer, and has permissions for them."""
        path = f"/consents/customers/{self.ids[-1]}/permissions"
        while True:
            found = await self.cluster.call("GET", path)
            if found.status_code == 200 and found.json()["permissions"]:
                return
            await asyncio.sleep(0.2)

    async def give(self, steps: list[WorkloadStep], per_second: float, clients: int = 16) -> None:
        """All steps at the given rate, by so many clients at once; a step waits for those that it lifts.

        Steps are numbered on from one call to the next.
        """
        first, self._given = self._given, self._given + len(steps)
        done = [asyncio.Event() for _ in steps]
        turns: asyncio.Queue[int] = asyncio.Queue()
        for index in range(len(steps)):
            turns.put_nowait(index)
        began = time.monotonic()

        async def client() -> None:
            while not turns.empty():
                index = turns.get_nowait()
                await asyncio.sleep(max(0.0, began + index / per_second - time.monotonic()))
                try:
                    await self._one(first, index, steps[index], done)
                finally:
                    done[index].set()

        await asyncio.gather(*(client() for _ in range(clients)))

    async def _one(self, first: int, index: int, step: WorkloadStep, done: list[asyncio.Event]) -> None:
        if step.body["act"] in ("consent", "lifting"):
            self.yeses.add(first + index)
        for lifted in step.lifts:
            await done[lifted].wait()
        lifts = [self.acknowledged[first + i] for i in step.lifts if first + i in self.acknowledged]
        if step.via == "http":
            await self._post(first + index, step, [ident for via, ident in lifts if via == "http"])
        else:
            await self._submit(first + index, step, lifts)

    async def _post(self, index: int, step: WorkloadStep, lifts: list[UUID]) -> None:
        if step.body["act"] == "lifting" and not lifts:
            self.outcomes["nothing to lift"] += 1
            return
        body = step.body | {"subject": self._subject(step)}
        if lifts:
            body["lifts"] = [str(i) for i in lifts]
        response = await self.cluster.call(
            "POST", "/consents/decisions", body, **{"Idempotency-Key": str(step.ident)}
        )
        if response.status_code == 201:
            self.acknowledged[index] = ("http", UUID(response.json()["decision"]))
            self.outcomes["taken"] += 1
        else:
            self.outcomes["refused"] += 1
            self.refusals[response.text[:200]] += 1

    def _subject(self, step: WorkloadStep) -> dict[str, Any]:
        match step.subject:
            case "number":
                return {"company": COMPANIES[step.customer % 3], "number": self.number(step.customer)}
            case "point":
                return {"kind": "phone", "value": self.phone(step.customer)}
            case _:
                return {"customer": str(self.ids[step.customer])}

    async def _submit(self, index: int, step: WorkloadStep, lifts: list[tuple[str, UUID]]) -> None:
        party = f"company.{step.via}"
        follower = f"{step.via}-crm"
        body: dict[str, Any] = dict(step.body)
        match step.subject:
            case "number":
                body["number"] = self.number(step.customer)
            case "point":
                body["phone"] = self.phone(step.customer)
            case _:
                body["customer"] = self.cluster.ident(party, self.ids[step.customer])
        if body["act"] == "lifting":
            body["reach"] = "company"
        if lifts:
            body["lifts"] = [
                str(ident) if via == step.via else self.cluster.ident(party, ident)
                for via, ident in lifts
                if via in (step.via, "http")
            ]
        if body["act"] == "lifting" and not body.get("lifts"):
            self.outcomes["nothing to lift"] += 1
            return
        answer = await self.cluster.ask(follower, "/submit", body | {"id": str(step.ident)})
        self.acknowledged[index] = (step.via, UUID(answer["id"]))
        self.outcomes["taken"] += 1

    async def scan_metrics(self) -> list[LeakFinding]:
        found: list[LeakFinding] = []
        for name in ("customers", "consents", "marketing"):
            url = self.cluster.services.metrics(name)
            api = f"http://{ports.LOOPBACK}:{self.cluster.ports[name]}/{name}"
            await self.cluster.http.request(METHOD, api)
            text = (await self.cluster.http.get(url)).content
            assert b"kielto_" in text
            found += search(f"metrics of {name}", text, self.planted)
        return found
