"""PostgreSQL 18 itself, on loopback, from the embedded binaries on Maven Central; or a running server."""

import asyncio
import hashlib
import hmac
import re
import signal
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from deploy.local import ports
from deploy.local.install import account, files, postgres_files
from deploy.local.servers.processes import Process
from deploy.local.servers.server import LocalServer, RunningServer

SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "64MB",
    "jit": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements may hold personal data, and the log is read by people who may not see any.
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    # Passwords are random keys, so many rounds would add no safety, only time to each connection.
    "scram_iterations": "64",
    "unix_socket_directories": "",
}


class Postgres(LocalServer):
    """One server with its data in a folder, which is made from a template if it does not exist.

    `settings` are server parameters, added to or in place of SETTINGS.
    """

    name = "PostgreSQL"

    def __init__(self, directory: Path, settings: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.port = ports.free_port()
        self.account = account.choose()
        self._settings = {**SETTINGS, **(settings or {})}

    def begin(self) -> None:
        programs = postgres_files.install()
        self.version = programs.name
        data = self.directory / "data"
        files.make_once(data, lambda folder: self._fill(folder, programs))
        settings = {**self._settings, "listen_addresses": ports.LOOPBACK, "port": str(self.port)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = Process(
            self.name,
            [*self.account.prefix, str(programs / "bin" / "postgres"), "-D", str(data), *options],
            self.directory / "postgres.log",
            stop_signal=signal.SIGINT,  # its fast way: clients are cut off, nothing is lost
            account=self.account.ids,
        )
        self._process.start()

    def wait(self) -> None:
        self.process.wait_until(self._ready)

    def kill(self) -> None:
        """SIGKILL, and wait for its own children, which hold the shared memory until they notice."""
        children = psutil.Process(self.process.pid).children()
        self.process.kill()
        psutil.wait_procs(children, timeout=20)

    def dsn(self, database: str = "postgres") -> str:
        """Of the superuser."""
        server = f"{ports.LOOPBACK}:{self.port}"
        return f"postgresql://{postgres_files.SUPERUSER}:{postgres_files.password()}@{server}/{database}"

    def create_database(self, name: str) -> str:
        """A database and a role of the same name that owns it and alone may connect; returns the role's DSN.

        Does nothing to a database that is there. The role's password follows from the name and a secret of this
        checkout, so asking twice gives the same DSN. Raises ValueError for a name that is no plain identifier.
        """
        check_name(name)
        secret = postgres_files.password().encode()
        password = hmac.new(secret, name.encode(), hashlib.sha256).hexdigest()[:32]

        async def work(connection: asyncpg.Connection) -> None:
            role = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
            verb = "ALTER" if role else "CREATE"
            await connection.execute(f"{verb} ROLE {name} LOGIN PASSWORD '{password}'")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
                await connection.execute(f"CREATE DATABASE {name} OWNER {name}")
                await connection.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")

        run(self.dsn(), work)
        parts = urlsplit(self.dsn())
        server = parts.netloc.rpartition("@")[2]
        return with_database(urlunsplit(parts._replace(netloc=f"{name}:{password}@{server}")), name)

    def _fill(self, folder: Path, programs: Path) -> None:
        files.copy(postgres_files.template(programs, self.account), folder)
        folder.chmod(0o700)
        self.account.give(folder)

    def _ready(self) -> bool:
        """As pg_ctl sees it: the eighth line of postmaster.pid, of this very process."""
        try:
            lines = (self.directory / "data" / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.process.pid) and lines[7].strip() == "ready"


class RunningPostgres(RunningServer, Postgres):
    """A server that runs already, by the DSN of a user that may create databases and roles."""

    setting = "KIELTO_POSTGRES"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def dsn(self, database: str = "postgres") -> str:
        return with_database(self._dsn, database)


def with_database(dsn: str, database: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


def check_name(name: str) -> None:
    """Raises ValueError for a name that is not a plain identifier."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise ValueError(f"database name {name!r}: only a-z, 0-9 and _, beginning with a letter, 63 at most")


def run(dsn: str, work: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
    """Do `work` on a connection, in a thread of its own, so that it can be called inside a running event loop too."""

    async def connect() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await work(connection)
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, connect()).result()
