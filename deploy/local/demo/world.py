"""What the demo runs: the stack, three services, and five receivers, each in a process of its own; and who was
imported into the register.
"""

import asyncio
import contextlib
import functools
import json
import sys
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from deploy.local import ports, token
from deploy.local.demo.people import PRODUCT_GROUP, DemoPerson, row
from deploy.local.servers.processes import Process
from deploy.local.servers.stack import Stack
from deploy.local.services import Services, answers
from kielto.events.party import Party
from kielto.service.support.crypto_keys import Keys

BEAT_SECONDS = 0.5
IN_POSTGRES = ("sahko-crm", "matkat-crm")
CAMPAIGNS = "kauppa-campaigns"


class DemoWorld:
    """The running demo. Receivers are asked over HTTP; `ident` gives a party's own id of a customer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = Stack(folder / "stack")
        self.services = Services(self.stack, folder, beat_seconds=BEAT_SECONDS)
        self.receivers: dict[str, Process] = {}
        self.ports: dict[str, int] = {}
        self.http = httpx.AsyncClient(
            timeout=httpx.Timeout(60), limits=httpx.Limits(max_connections=200, max_keepalive_connections=100)
        )
        self._token = token.issue(token.ROLES, subject="demo")
        self.deadline = 60.0

    @property
    def parties(self) -> dict[str, Party]:
        """The party of each receiver."""
        return {s.id: Party(s.party) for s in self.services.group.subscribers}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["DemoWorld"]:
        try:
            await asyncio.to_thread(self._start)
            yield self
        finally:
            await self.http.aclose()
            await asyncio.to_thread(self._stop)

    def _start(self) -> None:
        self.stack.start()
        self.services.prepare()
        for process in self.services.processes.values():
            process.start()
        for subscriber in self.services.group.subscribers:
            self._prepare_receiver(subscriber.id)
            self.receivers[subscriber.id].start()
        for name in self.services.processes:
            self.services.wait(name)
        for name in self.receivers:
            self._wait(name)

    def _stop(self) -> None:
        for process in self.receivers.values():
            process.terminate()
        for process in self.receivers.values():
            process.stop()
        self.services.stop()
        self.stack.stop()

    def _prepare_receiver(self, name: str) -> None:
        self.ports[name] = ports.free_port()
        own_database = name in IN_POSTGRES
        store = self.stack.postgres.create_database(name.replace("-", "_")) if own_database else None
        module = f"deploy.local.demo.{'campaigns' if name == CAMPAIGNS else 'receiver'}"
        command, environment = self.services.receiver(name, self.ports[name], store=store, module=module)
        if name == CAMPAIGNS:
            command += ["--bootstrap", self.stack.kafka.bootstrap]
        log = self.folder / f"{name}.log"
        self.receivers[name] = Process(name, [sys.executable, "-m", *command], log, environment=environment)

    def restart(self, name: str) -> None:
        """Start a receiver that was killed; returns when it answers."""
        self.receivers[name].start()
        self._wait(name)

    def _wait(self, name: str) -> None:
        self.receivers[name].wait_until(lambda: answers(self.ports[name], "/gate"))

    def ident(self, party: str, customer: UUID) -> str:
        """The party's own id of a customer, which only the services' keys can make."""
        return self._keys().pairwise(party, customer)

    @functools.cache  # noqa: B019 - one world a process
    def _keys(self) -> Keys:
        return Keys.load(self.services.keys_folder / "services.keys.json")

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
        """Call a service by its path with the prefix. Raises RuntimeError unless the answer is 2xx."""
        name = path.split("/")[1].partition("?")[0]
        url = self.services.url(name).removesuffix(f"/{name}") + path
        headers = {"Authorization": f"Bearer {self._token}", **more.pop("headers", {})}
        response = await self.http.request(method, url, json=body, headers=headers, **more)
        if response.is_error:
            raise RuntimeError(f"{method} {path} answered {response.status_code}: {response.text[:400]}")
        return response.json() if response.content else {}

    async def import_rows(self, company: str, rows: Iterable[bytes]) -> list[dict[str, Any]]:
        """Import rows into the register; return the report of each row, and the summary as its last line."""
        url = self.services.url("customers") + "/imports"
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/x-ndjson"}
        body = b"\n".join(rows)
        async with self.http.stream(
            "POST", url, params={"company": company}, headers=headers, content=body, timeout=300
        ) as response:
            response.raise_for_status()
            return [json.loads(line) async for line in response.aiter_lines()]

    async def ask(self, receiver: str, path: str, body: Any = None) -> Any:
        """A receiver's own answer."""
        url = f"http://{ports.LOOPBACK}:{self.ports[receiver]}{path}"
        method = "GET" if body is None and not path.startswith("/pause") else "POST"
        response = await self.http.request(method, url, json=body, timeout=self.deadline + 30)
        response.raise_for_status()
        return response.json()

    async def watch(self, receiver: str, question: dict[str, Any], *wanted: str) -> dict[str, Any]:
        """Wait until a receiver answers with one of the wanted reasons; `at` is None if it does not by the deadline."""
        body = {"question": question, "wanted": list(wanted), "seconds": self.deadline}
        return dict(await self.ask(receiver, "/watch", body))


class DemoRegister:
    """Who was imported: each person's id in the register, and where they are customers."""

    def __init__(self, world: DemoWorld) -> None:
        self.world = world
        self.ids: dict[str, UUID] = {}
        self.people: dict[str, DemoPerson] = {}
        self.used: set[str] = set()

    def pick(self, company: str, count: int, *, also: str | None = None) -> list[str]:
        """People of a company whom no step has used yet, the last of the register first."""
        found = [
            n for n in reversed(self.of(company, also=also)) if n not in self.used and self.people[n].phone
        ]
        self.used.update(found[:count])
        return found[:count]

    async def take_in(self, people: list[DemoPerson]) -> list[dict[str, Any]]:
        """Import company by company; return the reports of rows that were refused, or imported without a field that
        could not be read. In this data that is the phone number.
        """
        told = []
        for company in PRODUCT_GROUP:
            theirs = [p for p in people if company in p.companies]
            if not theirs:
                continue
            report = await self.world.import_rows(
                company, (json.dumps(row(p, company)).encode() for p in theirs)
            )
            for line in report[:-1]:
                person = theirs[line["row"] - 1]
                if line["status"] == "refused" or line.get("warnings"):
                    told.append(line)
                    person = replace(person, phone=None)
                if line["status"] != "refused":
                    self.ids[person.number], self.people[person.number] = UUID(line["id"]), person
        return told

    def of(self, company: str, *, also: str | None = None) -> list[str]:
        """Numbers of the people of a company (and also of another), in the register's order."""
        return [
            n
            for n, p in self.people.items()
            if company in p.companies and (also is None or also in p.companies)
        ]
