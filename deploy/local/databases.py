"""Databases and roles on a server, by the DSN of a user that may create them."""

import asyncio
import hashlib
import hmac
import re
import threading
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from deploy.local.install import postgres_files


def create(admin: str, name: str) -> str:
    """A database and a role of the same name that owns it and alone may connect; returns the role's DSN.

    Does nothing to a database that is there. The role's password follows from the name and a secret of this
    checkout, so asking twice gives the same DSN. Raises ValueError for a name that is no plain identifier.
    """
    check(name)
    password = hmac.new(postgres_files.password().encode(), name.encode(), hashlib.sha256).hexdigest()[:32]

    async def work(connection: asyncpg.Connection) -> None:
        role = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name)
        verb = "ALTER" if role else "CREATE"
        await connection.execute(f"{verb} ROLE {name} LOGIN PASSWORD '{password}'")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f"CREATE DATABASE {name} OWNER {name}")
            await connection.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")

    run(admin, work)
    parts = urlsplit(admin)
    server = parts.netloc.rpartition("@")[2]
    return with_database(urlunsplit(parts._replace(netloc=f"{name}:{password}@{server}")), name)


def with_database(dsn: str, database: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))


def check(name: str) -> None:
    """Raises ValueError for a name that is not a plain identifier."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,62}", name):
        raise ValueError(f"database name {name!r}: only a-z, 0-9 and _, beginning with a letter, 63 at most")


def run(dsn: str, work: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
    """Do `work` on a connection, in a thread of its own, so that it can be called inside a running event loop too."""
    failures: list[BaseException] = []

    async def connect() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            await work(connection)
        finally:
            await connection.close()

    def thread() -> None:
        try:
            asyncio.run(connect())
        except BaseException as failure:  # noqa: BLE001 - handed to the caller below
            failures.append(failure)

    runner = threading.Thread(target=thread)
    runner.start()
    runner.join()
    if failures:
        raise failures[0]
