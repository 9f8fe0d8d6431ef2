"""The three services, each in a process of its own on a running stack, configured by its environment alone."""

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from deploy.local import keys, ports, token
from deploy.local.paths import ROOT
from deploy.local.progress import LocalError
from deploy.local.servers.processes import Process
from deploy.local.servers.stack import Stack
from kielto import group

MODULES = {name: f"services.{name}" for name in ("customers", "consents", "marketing")}
SETUP = "kielto.service.process.create_topics"


class Services:
    """Databases, keys, topics and the processes; their logs and keys in `folder`.

    `wanted_ports`: by service; a free one otherwise. `beat_seconds`: instead of the group file's. `modules`
    and `setup` are what is run with `python -m`: the real ones, except in this package's own tests.
    """

    def __init__(
        self,
        stack: Stack,
        folder: Path,
        *,
        group_file: Path = ROOT / "group.yaml",
        beat_seconds: float | None = None,
        wanted_ports: Mapping[str, int] | None = None,
        modules: Mapping[str, str] = MODULES,
        setup: str = SETUP,
    ) -> None:
        self.folder, self.group_file, self.beat_seconds = folder, group_file, beat_seconds
        self.stack, self._setup = stack, setup
        try:
            self.group = group.load(group_file, beat_seconds)
        except group.GroupError as error:
            raise LocalError(str(error)) from None
        self.keys_folder = folder / "keys"
        self.ports = {name: (wanted_ports or {}).get(name) or ports.free_port() for name in modules}
        self.metrics_ports = {name: ports.free_port() for name in modules}
        self.dsns: dict[str, str] = {}
        self.processes: dict[str, Process] = {}
        self._modules = modules

    def start(self) -> None:
        """Start all and wait until each answers on /readyz. Raises ProcessFailedError; then none is left running."""
        self.prepare()
        try:
            for process in self.processes.values():
                process.start()
            for name in self.processes:
                self.wait(name)
        except BaseException:
            self.stop()
            raise

    def prepare(self) -> None:
        """Make keys, databases and topics. Repeating it changes nothing."""
        keys.make(self.group, self.keys_folder)
        for name, module in self._modules.items():
            self.dsns[name] = self.stack.postgres.create_database(f"kielto_{name}")
            log = self.folder / f"{name}.log"
            if name not in self.processes:
                command = [sys.executable, "-m", module]
                self.processes[name] = Process(name, command, log, environment=self.environment(name))
        self._run_setup()

    def wait(self, name: str, seconds: float = 120.0) -> None:
        self.processes[name].wait_until(lambda: answers(self.ports[name], "/readyz"), seconds)

    def stop(self) -> None:
        """Ask all to stop, then wait for each."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.stop()

    def url(self, name: str) -> str:
        """Where the service's own prefix begins, e.g. `http://127.0.0.1:8102/consents`."""
        return f"http://{ports.LOOPBACK}:{self.ports[name]}/{name}"

    def metrics(self, name: str) -> str:
        """Where its metrics are: on a port of their own."""
        return f"http://{ports.LOOPBACK}:{self.metrics_ports[name]}/metrics"

    def environment(self, name: str) -> dict[str, str]:
        """The whole environment of a service's process."""
        own = {
            "KIELTO_POSTGRES_DSN": self.dsns[name],
            "KIELTO_KEYS_FILE": str(keys.service_file(self.keys_folder, name)),
            "KIELTO_HTTP_HOST": ports.LOOPBACK,
            "KIELTO_HTTP_PORT": str(self.ports[name]),
            "KIELTO_METRICS_PORT": str(self.metrics_ports[name]),
            "KIELTO_JWKS": str(token.key_set()),
            "KIELTO_ISSUER": token.ISSUER,
            "KIELTO_AUDIENCE": token.AUDIENCE,
        }
        return environment_of(self._common() | own)

    def receiver(
        self, name: str, port: int, *, store: str | None = None, module: str = "deploy.local.demo.receiver"
    ) -> tuple[list[str], dict[str, str]]:
        """What is run with `python -m`, and its whole environment, for one of the group's subscriber systems.

        `store`: the DSN of its own database; in memory otherwise.
        """
        (party,) = {s.party for s in self.group.subscribers if s.id == name}
        command = [module, name, "--port", str(port)]
        command += ["--keys", str(keys.party_file(self.keys_folder, party))]
        command += ["--spool", str(self.folder / f"{name}.spool")]
        if store is not None:
            command += ["--store", store]
        return command, environment_of(self._common())

    def _common(self) -> dict[str, str]:
        beat = {} if self.beat_seconds is None else {"KIELTO_BEAT_SECONDS": str(self.beat_seconds)}
        files = {"KIELTO_GROUP_FILE": str(self.group_file)}
        return {"KIELTO_KAFKA_BOOTSTRAP": self.stack.kafka.bootstrap, **files, **beat}

    def _run_setup(self) -> None:
        environment = self.environment(next(iter(self._modules)))
        command = [sys.executable, "-m", self._setup]
        Process("topic set-up", command, self.folder / "setup.log", environment=environment).run()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def environment_of(own: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of a process of ours: this one's, but of KIELTO_ settings only its `own`."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("KIELTO_")},
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}",
        "PYTHONSAFEPATH": "1",  # and not the folder it is started from
        **own,
    }


def answers(port: int, path: str) -> bool:
    """Whether a GET on loopback is answered with 200."""
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
