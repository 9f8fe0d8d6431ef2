"""The services' database server in the world of `test_restore.py`: copied, put back, followed by a standby, promoted.

The subscribers keep their stores on a server of their own: a restore of ours must not touch them.
"""

import asyncio
import contextlib
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from deploy.local import ports
from deploy.local.install import files, postgres_files
from deploy.local.servers.postgres import Postgres
from deploy.local.servers.stack import Stack
from tests.e2e.cluster import Cluster

IN_MEMORY = "kauppa-campaigns"
"""The one subscriber whose store is a MemoryStore."""


class DatabaseDoor:
    """A port that stays while the server behind it changes, as an address that moves at a failover."""

    def __init__(self, behind: int) -> None:
        self.port, self.behind = ports.free_port(), behind
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, ports.LOOPBACK, self.port)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection(ports.LOOPBACK, self.behind)
            both = [
                asyncio.create_task(_pump(one, other)) for one, other in ((reader, back), (there, writer))
            ]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            back.close()
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


class RestoredCluster(Cluster):
    """`door`: the port that the services reach their server by, if not its own."""

    def __init__(
        self, stack: Stack, folder: Path, stores: Postgres, bugs: dict[str, str] | None = None, door: int = 0
    ) -> None:
        super().__init__(stack, folder, bugs)
        self._stores_server, self._door = stores, door
        if door:
            self._prepare, self.services.prepare = self.services.prepare, self._through_the_door  # type: ignore[method-assign]

    def _through_the_door(self) -> None:
        self._prepare()
        for name, dsn in self.services.dsns.items():
            self.services.dsns[name] = dsn.replace(f":{urlsplit(dsn).port}/", f":{self._door}/")

    def _add_follower(self, name: str) -> None:
        self.ports[name] = ports.free_port()
        store = None
        if name != IN_MEMORY:
            store = self.stores[name] = self._stores_server.create_database("e2e_" + name.replace("-", "_"))
        self._add(name, *self.services.receiver(name, self.ports[name], store=store))

    def wait(self, name: str) -> None:
        if name != IN_MEMORY:
            super().wait(name)

    @property
    def dsn(self) -> str:
        """Of consents."""
        return self.services.dsns["consents"]


def copied(server: Postgres, to: Path) -> None:
    """A cold copy; the server is down for as long as it takes."""
    server.stop()
    files.copy(server.directory / "data", to)
    server.start()


def put_back(server: Postgres, copy: Path) -> None:
    server.stop()
    shutil.rmtree(server.directory / "data")
    _place(server, copy)
    server.start()


def standby(primary: Postgres, directory: Path, copy: Path) -> Postgres:
    """A server that follows the primary from its cold copy on."""
    whom = f"host={ports.LOOPBACK} port={primary.port} user={postgres_files.SUPERUSER}"
    made = Postgres(directory, {"primary_conninfo": f"{whom} password={postgres_files.password()}"})
    directory.mkdir()
    _place(made, copy)
    signal = directory / "data" / "standby.signal"
    signal.touch()
    if made.account.ids is not None:
        made.account.give(directory / "data")
    made.start()
    return made


def _place(server: Postgres, copy: Path) -> None:
    data = server.directory / "data"
    files.copy(copy, data)
    (data / "postmaster.pid").unlink(missing_ok=True)
    data.chmod(0o700)
    server.account.give(data)


async def caught_up(standby: Postgres, primary: Postgres) -> None:
    """What is committed now stands on the standby."""
    async with asyncio.timeout(30):
        ours = await _ask(primary, "SELECT pg_current_wal_lsn()::text")
        while not await _ask(standby, f"SELECT pg_last_wal_replay_lsn() >= '{ours}'::pg_lsn"):  # noqa: ASYNC110 - only the server can tell
            await asyncio.sleep(0.05)


async def promote(standby: Postgres) -> None:
    assert await _ask(standby, "SELECT pg_promote()")


async def _ask(server: Postgres, question: str) -> object:
    connection = await asyncpg.connect(server.dsn())
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()
