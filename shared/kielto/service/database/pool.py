"""PostgreSQL: a pool for requests and messages, single connections for leaders, transactions.

The server's keepalives are short, so that a lost node does not hold a leader's lock for hours; every command has a
timeout. Advisory locks and LISTEN need a real session: do not put a transaction-mode pooler in between.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

import asyncpg
from asyncpg.pool import PoolAcquireContext, PoolConnectionProxy

from kielto.service.database import audit_entry
from kielto.service.support.limits import FIXED, Limits
from kielto.service.support.shares import BusyError, Shares

Conn: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Result = TypeVar("Result")

_IN_THE_WAY: tuple[type[Exception], ...] = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_ATTEMPTS = 5

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
"""The database is away, too slow or too busy: the request is fine, try again."""

_SESSION = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10000",
    "lock_timeout": str(round(FIXED.lock_seconds * 1000)),
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


whose_request: ContextVar[Hashable] = ContextVar("whose_request", default=None)
"""The party whose request is running, set by the HTTP middleware; None: work of our own."""


async def open_pool(
    dsn: str, *, name: str, size: int | None = None, by_key: bool = False, limits: Limits | None = None
) -> Pool:
    """A pool whose commands end in time. Raises one of AWAY when the database cannot be reached.

    A request waits for a connection within its party's share, in order, for a bounded time, and gets CrowdedError or
    BusyError after that; the service's own work waits as long as it takes. `by_key`: plan statements for look-ups by
    key (`BY_KEY`); use such a pool for no statement that scans or aggregates.
    """
    limits = limits or Limits()
    pool = _Pool(
        dsn,
        shares=Shares(limits.party_requests, limits.party_waiting, limits.wait_seconds),
        seconds=limits.wait_seconds,
        min_size=1,
        max_size=size or limits.pool_connections,
        command_timeout=FIXED.statement_seconds,
        timeout=5,
        reset=_nothing,
        server_settings=_settings(name) | (BY_KEY if by_key else {}),
    )
    return await pool


class _Pool(asyncpg.Pool):
    def __init__(self, dsn: str, *, shares: Shares, seconds: float, **named: Any) -> None:
        super().__init__(
            dsn,
            connection_class=asyncpg.Connection,
            record_class=asyncpg.Record,
            max_queries=50_000,
            max_inactive_connection_lifetime=300.0,
            connect=None,
            setup=None,
            init=None,
            loop=None,
            **named,
        )
        self.shares, self.seconds = shares, seconds

    def acquire(self, *, timeout: float | None = None) -> "_Acquired":
        return _Acquired(self, timeout)


class _Acquired(PoolAcquireContext):
    """asyncpg's context, within the party's share."""

    pool: _Pool
    __slots__ = ("whose",)

    async def __aenter__(self) -> Any:
        self.whose = whose_request.get()
        if self.whose is None:
            return await super().__aenter__()
        await self.pool.shares.take(self.whose)
        try:
            if not self.pool.get_idle_size():
                self.timeout = self.pool.seconds
            return await super().__aenter__()
        except BaseException as error:
            self.pool.shares.give_back(self.whose)
            if type(error) is TimeoutError:
                raise BusyError from None
            raise

    async def __aexit__(self, *raised: Any) -> None:
        try:
            await super().__aexit__(*raised)
        finally:
            if self.whose is not None:
                self.pool.shares.give_back(self.whose)


async def _nothing(_: object) -> None:
    """A connection that is given back needs no reset, which would cost a round trip each time.

    Nobody changes a session here; an open transaction is rolled back by asyncpg itself.
    """


async def connect(
    dsn: str, *, name: str, command_timeout: float = FIXED.statement_seconds
) -> "asyncpg.Connection[asyncpg.Record]":
    """One connection of its own, for a leader. Raises one of AWAY."""
    return await asyncpg.connect(
        dsn, command_timeout=command_timeout, timeout=5, server_settings=_settings(name)
    )


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Conn]:
    """One transaction: committed when the block ends, rolled back when it raises. The first one of a request or command
    has its entry of the audit trail.
    """
    entry = audit_entry.current()
    wrote = False
    async with pool.acquire() as conn, conn.transaction():
        yield conn
        if entry is not None and not entry.written:
            wrote = await entry.write(conn)
    if entry is not None and wrote:
        entry.written = True


async def in_transaction(
    pool: Pool,
    work: Callable[[Conn], Awaitable[Result]],
    *,
    retry_on: tuple[type[Exception], ...] = (),
    attempts: int = _ATTEMPTS,
) -> Result:
    """Run `work` in one transaction; again from the start when another transaction got in its way.

    That is a deadlock, a serialisation failure or one of `retry_on`; after the last attempt it is raised.
    """
    for attempt in range(1, attempts + 1):
        try:
            async with transaction(pool) as conn:
                return await work(conn)
        except _IN_THE_WAY + retry_on:
            if attempt == attempts:
                raise
    raise AssertionError("unreachable")


async def server_time(conn: Conn) -> datetime:
    """The time now, by the clock of the database's server."""
    at: datetime = await conn.fetchval("SELECT clock_timestamp()")
    return at


def columns(rows: Sequence[object], *names: str) -> list[list[Any]]:
    """For `unnest`: for each attribute, such as `version.epoch`, its values in all rows."""
    return [list(map(attrgetter(name), rows)) for name in names]


def _settings(name: str) -> dict[str, str]:
    return {**_SESSION, "application_name": f"kielto {name}"[:60]}
