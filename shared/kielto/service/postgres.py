"""Connections to PostgreSQL: a pool for requests and messages, single connections for leaders; transactions.

Keepalives are set on the server's side, since a lost node must not hold a leader's lock for hours; on ours
every command has a time-out. Advisory locks and LISTEN need a real session: no transaction-mode pooler in
between.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

Conn: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement on a connection that has just been cut, not noticed yet
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.QueryCanceledError,
    TimeoutError,
    OSError,
)
"""The database is away, too slow or too busy: nothing is wrong with the request, try again."""

_SESSION = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "60000",
    "jit": "off",
}


BY_KEY = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""For statements that find a few rows by their keys: always the plan by the indexes, made once for each connection.

Left to itself the planner makes a plan for each call of a statement with arrays, which takes longer than the call; and
what it chooses while a table is small is wrong when the table has grown.
"""


async def open_pool(dsn: str, *, name: str, size: int = 10, by_key: bool = False) -> Pool:
    """A pool whose commands end within 30 s. Raises one of AWAY when the database cannot be reached.

    `by_key`: for what reads and writes by key alone (`BY_KEY`); nothing that scans or aggregates.
    """
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        command_timeout=30,
        timeout=5,
        reset=_nothing,
        server_settings=_settings(name) | (BY_KEY if by_key else {}),
    )


async def _nothing(_: object) -> None:
    """A connection that is given back needs no reset, which would cost a round trip each time.

    Nobody changes a session here; an open transaction is rolled back by asyncpg itself.
    """


async def connect(
    dsn: str, *, name: str, command_timeout: float = 30
) -> "asyncpg.Connection[asyncpg.Record]":
    """One connection of its own, for a leader. Raises one of AWAY."""
    return await asyncpg.connect(
        dsn, command_timeout=command_timeout, timeout=5, server_settings=_settings(name)
    )


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Conn]:
    """One transaction: committed when the block ends, rolled back when it raises."""
    async with pool.acquire() as conn, conn.transaction():
        yield conn


def _settings(name: str) -> dict[str, str]:
    return {**_SESSION, "application_name": f"kielto {name}"[:60]}
