"""The product under test: a cluster whose processes take orders, come by doors, and may stand on a small disk."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine
import yaml

from deploy.local import ports, token
from deploy.local.paths import ROOT
from deploy.local.servers.processes import Process
from deploy.local.servers.stack import Stack
from deploy.local.services import Services
from tests.e2e.checks import gates_open
from tests.e2e.cluster import RELAYS, Cluster
from tests.faults.hooks import joined
from tests.faults.proxy import BrokerDoor
from tests.faults.schedule import FaultNames, Scenario, beat_seconds, stale_seconds

DISK_MIB = 900
EXTRA = ("consents-extra-0", "consents-extra-1")
"""Consumers of consents that join and leave; not started with the rest."""


class FaultWorld(Cluster):
    """`doors` by who comes through them: `consents` (its relays and consumers) and `followers`."""

    def __init__(
        self,
        stack: Stack,
        folder: Path,
        scenario: Scenario,
        factor: float,
        bugs: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(stack, folder, bugs)
        folder.mkdir(parents=True, exist_ok=True)
        group = folder / "group.yaml"
        shipped = (ROOT / "group.yaml").read_text(encoding="utf-8")
        group.write_text(_impatient(shipped, factor), encoding="utf-8")
        self.services = Services(stack, folder, beat_seconds=beat_seconds(factor), group_file=group)
        self.group, self.ports = self.services.group, dict(self.services.ports)
        self.scenario = scenario
        if scenario.own_days:
            self.token = _token_for_days()
        self.doors = {name: BrokerDoor(name) for name in ("consents", "followers")} if scenario.doors else {}
        stack.kafka.doors = {door.behind: door.port for door in self.doors.values()}
        self.extra: dict[str, Process] = {}

    @property
    def names(self) -> FaultNames:
        return FaultNames(("customers", "consents", "marketing", *RELAYS), tuple(self.stores))

    async def open_doors(self) -> None:
        for door in self.doors.values():
            await door.open()

    async def close(self) -> None:
        for door in self.doors.values():
            await door.close()
        await self.http.aclose()

    def start(self) -> None:
        super().start()
        for name in EXTRA:
            own = {
                "KIELTO_ROLES": "consumers",
                "KIELTO_HTTP_PORT": str(ports.free_port()),
                "KIELTO_METRICS_PORT": "0",
            }
            environment = {**self.services.environment("consents"), **own}
            command = [
                sys.executable,
                "-m",
                "tests.faults.hooks",
                str(self._orders(name)),
                "services.consents",
            ]
            self.extra[name] = Process(name, command, self.folder / f"{name}.log", environment=environment)

    async def open(self) -> None:
        """Every process is ready, and every gate open: else no answer could be wrong."""
        for name in self.processes:
            await asyncio.to_thread(self.wait, name)
        await gates_open(self, self.stores, seconds=120)

    def order(self, name: str, **what: object) -> None:
        """What the process is to do to itself: end at a point, from now on; keep days, in its next life."""
        file = self._orders(name)
        before = json.loads(file.read_text()) if file.exists() else {}
        kept = {"days": before["days"]} if "days" in before else {}
        new = file.with_suffix(".new")
        new.write_text(json.dumps({**kept, **what}))
        new.replace(file)

    def has_joined(self, name: str) -> bool:
        """A further consumer has partitions since it was started."""
        return joined(self._orders(name)).exists()

    def start_extra(self, name: str) -> None:
        joined(self._orders(name)).unlink(missing_ok=True)
        self.extra[name].start()

    def _orders(self, name: str) -> Path:
        return self.folder / f"{name}.orders.json"

    def _add(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        if door := self._door(name):
            environment = {**environment, "KIELTO_KAFKA_BOOTSTRAP": door.bootstrap}
        environment = {**environment, "KIELTO_AUDITOR": "on" if self.scenario.auditor else "off"}
        if bug := self.bugs.get(name):
            command = ["tests.e2e.planted", bug, *command]
        command = ["tests.faults.hooks", str(self._orders(name)), *command]
        log = self.folder / f"{name}.log"
        self.processes[name] = Process(name, [sys.executable, "-m", *command], log, environment=environment)

    def _door(self, name: str) -> BrokerDoor | None:
        kind = "followers" if name in self.stores else "consents" if name.startswith("consents") else ""
        return self.doors.get(kind)


def _token_for_days() -> str:
    """One that is neither too old nor too new on any process's day."""
    with time_machine.travel(datetime.now(UTC) - timedelta(days=4)):
        return token.issue(token.ROLES, subject="faults", seconds=8 * 86_400)


def _impatient(text: str, factor: float) -> str:
    """The shipped group, with a gate that shuts sooner, so that its bound is seen within a test."""
    group = yaml.safe_load(text)
    group["beat_seconds"] = beat_seconds(factor)
    for subscriber in group["subscribers"]:
        subscriber["stale_seconds"] = stale_seconds(factor)
        subscriber["deadline_seconds"] = max(20.0, subscriber["deadline_seconds"] * factor)
    return yaml.safe_dump(group, allow_unicode=True)


class SmallDisk:
    """A file system of its own for the servers' data, which can be filled. Needs root."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._filler = folder, folder / "filler"

    def mount(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        options = ["-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs"]
        subprocess.run(["mount", *options, str(self.folder)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=False)

    def fill(self) -> None:
        block = bytes(1024 * 1024)
        try:
            with self._filler.open("wb", buffering=0) as file:
                while True:
                    file.write(block)
        except OSError:
            pass

    def free(self) -> None:
        self._filler.unlink(missing_ok=True)
