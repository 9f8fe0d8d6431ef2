"""Databases of tests: copies of migrated ones, dropped after use."""

from urllib.parse import urlsplit

import asyncpg

from deploy.local.servers.postgres import Postgres, check_name, run, with_database


def copy_database(server: Postgres, dsn: str, name: str) -> str:
    """Copy the database of `dsn`, to which nobody may be connected, with its owner; return the DSN of the copy."""
    check_name(name)
    parts = urlsplit(dsn)

    async def work(connection: asyncpg.Connection) -> None:
        made_from = f"TEMPLATE {parts.path[1:]} OWNER {parts.username} STRATEGY FILE_COPY"
        await connection.execute(f"CREATE DATABASE {name} {made_from}")
        await connection.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")

    run(server.dsn(), work)
    return with_database(dsn, name)


def drop_database(server: Postgres, name: str) -> None:
    """Drop the database and its role, if they exist, and cut connections to it."""
    check_name(name)

    async def work(connection: asyncpg.Connection) -> None:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"DROP ROLE IF EXISTS {name}")

    run(server.dsn(), work)
