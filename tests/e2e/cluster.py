"""The whole product as separate processes, each of which may be killed and started again.

The relays of consents run apart from its API, twice, so that one is killed while the other stands by.
"""

import asyncio
import functools
import random
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import httpx

from deploy.local import ports, token
from deploy.local.servers.processes import Process
from deploy.local.servers.stack import Stack
from deploy.local.services import Services, answers
from kielto.service.support.crypto_keys import Keys

BEAT_SECONDS = 0.5
RELAYS = ("consents-relay-1", "consents-relay-2")


class Cluster:
    """`bugs` plants a bug (see planted.py) in the processes whose name is in it."""

    def __init__(self, stack: Stack, folder: Path, bugs: Mapping[str, str] | None = None) -> None:
        self.stack, self.folder, self.bugs = stack, folder, dict(bugs or {})
        self.services = Services(stack, folder, beat_seconds=BEAT_SECONDS)
        self.group = self.services.group
        self.rest = folder / "rest"  # while it exists, a relay with a planted rest stops before it sends
        self.processes: dict[str, Process] = {}
        self.ports: dict[str, int] = dict(self.services.ports)
        self.stores: dict[str, str] = {}
        self.token = token.issue(token.ROLES, subject="e2e")
        self.http = httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=100))

    def start(self) -> None:
        self.services.prepare()
        # The log itself is checked: an auditor would mend it.
        unaudited = {"KIELTO_AUDITOR": "off"}
        for name in ("customers", "marketing"):
            self._add(name, [f"services.{name}"], {**self.services.environment(name), **unaudited})
        consents = {**self.services.environment("consents"), **unaudited}
        self._add("consents", ["services.consents"], {**consents, "KIELTO_ROLES": "api,consumers"})
        for relay in RELAYS:
            self.ports[relay] = ports.free_port()
            own = {"KIELTO_ROLES": "relay", "KIELTO_HTTP_PORT": str(self.ports[relay])}
            own["KIELTO_METRICS_PORT"] = "0"
            self._add(relay, ["services.consents"], {**consents, **own})
        for subscriber in self.group.subscribers:
            self._add_follower(subscriber.id)
        for process in self.processes.values():
            process.start()
        for name in self.processes:
            self.wait(name)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        try:
            await asyncio.to_thread(self.start)
            yield self
        finally:
            await self.http.aclose()
            await asyncio.to_thread(self.stop)

    def _add(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        if bug := self.bugs.get(name):
            command = ["tests.e2e.planted", bug, *command]
            environment = {**environment, "PLANTED_REST": str(self.rest)}
        log = self.folder / f"{name}.log"
        self.processes[name] = Process(name, [sys.executable, "-m", *command], log, environment=environment)

    def _add_follower(self, name: str) -> None:
        self.ports[name] = ports.free_port()
        self.stores[name] = self.stack.postgres.create_database("e2e_" + name.replace("-", "_"))
        self._add(name, *self.services.receiver(name, self.ports[name], store=self.stores[name]))

    def wait(self, name: str) -> None:
        self.processes[name].wait_until(lambda: self.is_up(name))

    def is_up(self, name: str) -> bool:
        return answers(self.ports[name], "/gate" if name in self.stores else "/readyz")

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.stop()

    def party(self, follower: str) -> str:
        return next(s.party for s in self.group.subscribers if s.id == follower)

    def ident(self, party: str, thing: UUID) -> str:
        """The party's own id of a customer or decision."""
        return self._keys().pairwise(party, thing)

    @functools.cache  # noqa: B019 - one cluster a test
    def _keys(self) -> Keys:
        return Keys.load(self.services.keys_folder / "services.keys.json")

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """A call of one of our services, tried again until it is answered: killed ones come back."""
        name = path.split("/")[1]
        url = f"http://{ports.LOOPBACK}:{self.ports[name]}{path}"
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        async with asyncio.timeout(120):
            while True:
                try:
                    response = await self.http.request(method, url, json=body, headers=headers)
                    if response.status_code < 500:
                        return response
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)

    async def ask(self, follower: str, path: str, body: Any) -> Any:
        """The same for a follower."""
        url, last = f"http://{ports.LOOPBACK}:{self.ports[follower]}{path}", "nothing"
        end = asyncio.get_running_loop().time() + 120
        while asyncio.get_running_loop().time() < end:
            try:
                response = await self.http.post(url, json=body)
                if response.status_code < 500:
                    return response.json()
                last = f"{response.status_code} {response.text[:200]}"
            except httpx.TransportError as error:
                last = type(error).__name__
            await asyncio.sleep(0.1)
        raise TimeoutError(f"{follower} does not take {path}: {last}")


async def chaos(
    cluster: Cluster, seed: int, over: asyncio.Event, every: tuple[float, float] = (0.8, 2.0)
) -> list[str]:
    """SIGKILL one process after another at random, and start each again; returns whom, in order.

    None is killed twice before it has come up: on a busy machine, where a start takes as long as there is between two
    kills, it never would again.
    """
    rng = random.Random(seed)
    names, killed = sorted(cluster.processes), []
    cut_short: set[str] = set()
    while not over.is_set():
        await asyncio.sleep(rng.uniform(*every))
        name = rng.choice(names)
        if await asyncio.to_thread(cluster.is_up, name):
            cut_short.discard(name)
        elif name in cut_short:
            continue
        else:
            cut_short.add(name)
        killed.append(name)
        await asyncio.to_thread(cluster.processes[name].kill)
        await asyncio.sleep(rng.uniform(0, 0.5))
        await asyncio.to_thread(cluster.processes[name].start)
    for name in names:
        await asyncio.to_thread(cluster.wait, name)
    return killed
