"""PostgreSQL 18 itself, on loopback, from the embedded binaries on Maven Central; or a running server."""

import signal
from pathlib import Path

import psutil

from deploy.local import databases, ports
from deploy.local.install import account, files, postgres_files
from deploy.local.running import RunningStack
from deploy.local.servers.processes import Process, ProcessFailedError

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


class Postgres:
    """One server with its data in a folder, which is made from a template if it does not exist.

    `settings` are server parameters, added to or in place of SETTINGS. Start and stop are repeatable; the
    port and the data stay.
    """

    managed = True  # ours to start and stop

    def __init__(self, directory: Path, settings: dict[str, str] | None = None) -> None:
        self.directory = directory
        self.port = ports.free_port()
        self.account = account.choose()
        self.version = ""
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        if self._process is None:
            raise ProcessFailedError("PostgreSQL was not started")
        return self._process

    def begin(self) -> None:
        """Begin to start; `wait()` returns when it answers."""
        programs = postgres_files.install()
        self.version = programs.name
        data = self.directory / "data"
        files.make_once(data, lambda folder: self._fill(folder, programs))
        settings = {**self._settings, "listen_addresses": ports.LOOPBACK, "port": str(self.port)}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = Process(
            "PostgreSQL",
            [*self.account.prefix, str(programs / "bin" / "postgres"), "-D", str(data), *options],
            self.directory / "postgres.log",
            stop_signal=signal.SIGINT,  # its fast way: clients are cut off, nothing is lost
            account=self.account.ids,
        )
        self._process.start()

    def wait(self) -> None:
        self.process.wait_until(self._ready)

    def start(self) -> None:
        self.begin()
        self.wait()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

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
        """A database and a role of its name that owns it, unless they are there; returns the role's DSN."""
        return databases.create(self.dsn(), name)

    def _fill(self, folder: Path, programs: Path) -> None:
        folder.rmdir()
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


class RunningPostgres(RunningStack, Postgres):
    """A server that runs already, by the DSN of a user that may create databases and roles."""

    setting = "KIELTO_POSTGRES"

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn

    def dsn(self, database: str = "postgres") -> str:
        return databases.with_database(self._dsn, database)
