"""PostgreSQL and Kafka for one run: our own, or servers that already run.

    with Stack(directory) as stack:
        dsn = stack.postgres.create_database("consents")
        ... stack.kafka.bootstrap ...

KIELTO_POSTGRES (the DSN of a user that may create databases and roles) and KIELTO_KAFKA (bootstrap servers)
put running servers in the place of our own; those cannot be started or stopped from here.
"""

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO, Self

from deploy.local.install import account, jars, postgres_files
from deploy.local.progress import LocalError
from deploy.local.servers.kafka import Kafka, RunningKafka, start_cache
from deploy.local.servers.postgres import Postgres, RunningPostgres


class DirectoryInUseError(LocalError):
    """Another stack uses this folder."""


class Stack:
    """Both servers, with their data and logs in `directory`, which keeps them from one start to the next.

    `postgres` and `kafka` are settings of the servers themselves, by their own names; `kafka_port` is the broker's port
    (any free one).
    """

    def __init__(
        self,
        directory: Path,
        *,
        postgres: dict[str, str] | None = None,
        kafka: dict[str, str] | None = None,
        kafka_port: int | None = None,
    ) -> None:
        self.directory = directory
        running = os.environ.get("KIELTO_POSTGRES"), os.environ.get("KIELTO_KAFKA")
        self.postgres = (
            RunningPostgres(running[0]) if running[0] else Postgres(directory / "postgres", postgres)
        )
        self.kafka = (
            RunningKafka(running[1]) if running[1] else Kafka(directory / "kafka", kafka, port=kafka_port)
        )
        self._lock: IO[bytes] | None = None

    def start(self) -> None:
        """Start both and wait until they answer. Raises DirectoryInUseError or ProcessFailedError, with nothing left
        running.
        """
        self._hold()
        try:
            own = [server for server in (self.kafka, self.postgres) if server.managed]
            for server in own:
                server.begin()
            for server in own:
                server.wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for server in (self.kafka, self.postgres):
            if server.managed:
                server.stop()
        if self._lock is not None:
            self._lock.close()

    def forget(self) -> None:
        """Delete the data of our own servers. Raises DirectoryInUseError."""
        self._hold()
        for name in ("kafka", "postgres"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        self.stop()

    def _hold(self) -> None:
        """Keep every other process out of the folder until `stop()`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = open(self.directory / "lock", "wb")  # noqa: SIM115 - closed by stop()
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise DirectoryInUseError(
                f"{self.directory}: another `./kielto` uses this folder: stop it first"
            ) from None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def prepare() -> None:
    """Download, unpack and train what a start will need, at a time of one's own choosing; the demo's data sets too.

    A start does by itself what is missing; but tests should not have to wait for it within their time limits,
    nor swallow what it says. Raises LocalError.
    """
    if not os.environ.get("KIELTO_KAFKA"):
        start_cache(jars.fetch("kafka"))
    if not os.environ.get("KIELTO_POSTGRES"):
        postgres_files.template(postgres_files.install(), account.choose())
    jars.fetch("data")
