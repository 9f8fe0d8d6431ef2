"""A store in PostgreSQL: a restart continues after the last commit. Needs asyncpg (`pip install kielto[postgres]`).

One connection does everything and holds an advisory lock, so a store has one writer; a second instance waits. Each
commit raises a counter, provided that nobody else did: after a lost answer the counter shows whether it was committed.
"""

import asyncio
import contextlib
import itertools
import logging
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from kielto.events.topics import Lane
from kielto.subscriber.replica.follower import Follower
from kielto.subscriber.replica.state import Delta, FollowerState
from kielto.subscriber.stores import rows as stored
from kielto.subscriber.stores.base import StoredRow, StoreError, StoreLostError, StoreMark
from kielto.subscriber.support.brokers import ThrottledLog

log = logging.getLogger(__name__)
LAYOUT = 1
PORTION = 5000
RETRY_SECONDS = 0.5
# InternalClientError: a statement on a connection that has just been cut, which asyncpg has not noticed yet.
_DSN = "dsn: must be postgresql://user:password@host:port/database, with PostgreSQL's own parameters"
_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError)
_SETTINGS = {
    "application_name": "kielto-subscriber",
    "synchronous_commit": "on",  # an acknowledged position must survive a crash
    "idle_in_transaction_session_timeout": "60s",
    "tcp_keepalives_idle": "10",  # a lost host must not hold the lock for hours
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class PostgresStore:
    """`dsn`: of a role that may create `schema`, or owns it. Raises StoreError.

    `SELECT convert_from(record, 'UTF8')::jsonb FROM kielto_subscriber.records` shows the records. A program that reads
    this table instead of asking the gate must wait for the store's first acknowledgement after each start, and must
    ignore `unreadable` rows.
    """

    durable = True

    def __init__(self, dsn: str, *, schema: str = "kielto_subscriber") -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema):
            raise StoreError("schema: must be a lower-case identifier of at most 63 letters, digits and _")
        if not dsn.strip():
            raise StoreError(_DSN)
        self._dsn, self._schema = dsn, schema
        self._connection: Any = None
        self._mark = StoreMark(UUID(int=0), 0)
        self._state = ""
        self.waits_for: str | None = None

    async def open(self, party: str, /) -> tuple[StoreMark, FollowerState]:
        await self._connect()
        try:
            # CREATE SCHEMA IF NOT EXISTS asks for the right to create one, though it is there.
            if not await self._connection.fetchval(_HAS_SCHEMA, self._schema):
                await self._connection.execute(self._sql("CREATE SCHEMA {schema}"))
            await self._connection.execute(self._sql(_LAYOUT))
        except asyncpg.InsufficientPrivilegeError:
            raise StoreError(
                f"{self._schema}: PostgreSQL refuses it: grant the user CREATE on the database, or give it the schema "
                f"(CREATE SCHEMA {self._schema} AUTHORIZATION user)"
            ) from None
        await self._connection.execute(
            self._sql(_CREATE),
            LAYOUT,
            party,
            uuid4(),
            stored.state_text(FollowerState()),
            stored.positions_text(FollowerState()),
        )
        row = await self._connection.fetchrow(self._sql("SELECT * FROM {schema}.store"))
        if row["layout"] != LAYOUT:
            raise StoreError(
                f"{self._schema}: has layout {row['layout']}, but this version reads {LAYOUT}: use another schema"
            )
        if row["party"] != party:
            raise StoreError(f"{self._schema}: is the store of {row['party']}: use another schema")
        self._mark, self._state = StoreMark(row["generation"], row["commits"]), row["state"]
        return self._mark, stored.read_state(row["positions"], row["state"])

    async def rows(self) -> AsyncIterator[list[StoredRow]]:
        async with self._connection.transaction():
            cursor = await self._connection.cursor(self._sql(_ROWS))
            while portion := await cursor.fetch(PORTION):
                yield [StoredRow(*row) for row in portion]

    @contextlib.asynccontextmanager
    async def beside(self) -> AsyncIterator[tuple[Any, str]]:
        """A read-only connection that sees one state of the store, and the schema's name. The store is written
        meanwhile.
        """
        connection = await asyncpg.connect(
            self._dsn, timeout=10, command_timeout=600, server_settings=_SETTINGS
        )
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection, self._schema
        finally:
            await connection.close(timeout=2)

    async def renew(self) -> StoreMark:
        generation = uuid4()
        done = await self._connection.execute(self._sql(_RENEW), generation, *self._mark)
        if done != "UPDATE 1":
            raise StoreLostError("another process has written to the store")
        self._mark = self._mark._replace(generation=generation)
        return self._mark

    async def commit(self, follower: Follower, delta: Delta, /) -> StoreMark:
        wanted = self._mark._replace(commits=self._mark.commits + 1)
        rows = [stored.stored_row(follower.image, key, value) for key, value in delta.rows.items()]
        positions, state = stored.positions_text(follower.state), stored.state_text(follower.state)
        warnings = ThrottledLog(log)
        for attempt in itertools.count():
            try:
                await self._write(delta, rows, positions, state)
                self.waits_for = None
                break
            except _AWAY as error:
                why = f"store: PostgreSQL does not take what was read ({type(error).__name__}); see its log"
                warnings.warn("%s; trying again", why)
            await self._connect()
            self.waits_for = why
            held = await self._held()
            if held == wanted:
                break  # it was committed, though the answer was lost
            if held != self._mark:
                raise StoreLostError("another process has written to the store, or it was restored")
            if attempt:  # it is not the connection that was lost
                await asyncio.sleep(RETRY_SECONDS)
        self._mark, self._state = wanted, state
        return wanted

    async def _write(self, delta: Delta, rows: list[StoredRow], positions: str, state: str) -> None:
        changed = None if state == self._state else state
        columns = list(zip(*rows, strict=True)) or [()] * len(StoredRow._fields)
        # One statement is one transaction, and one round trip on the way of a ban.
        around = self._connection.transaction() if delta.forget_offsets else contextlib.nullcontext()
        async with around:
            for lane in delta.forget_offsets:
                await self._connection.execute(self._sql(_FORGET[lane]))
            if not await self._connection.fetchval(
                self._sql(_COMMIT), *self._mark, positions, changed, *columns
            ):
                raise StoreLostError("another process has written to the store, or it was restored")

    async def _held(self) -> StoreMark | None:
        try:
            row = await self._connection.fetchrow(self._sql("SELECT generation, commits FROM {schema}.store"))
        except _AWAY:
            return None
        return None if row is None else StoreMark(*row)

    async def _connect(self) -> None:
        """Open a new connection and take the lock, however long it takes. Raises StoreError."""
        await self.close()
        warnings = ThrottledLog(log)
        while True:
            try:
                self._connection = await asyncpg.connect(
                    self._dsn, timeout=10, command_timeout=60, server_settings=_SETTINGS
                )
                if await self._connection.fetchval(_LOCK, f"kielto.subscriber.{self._schema}"):
                    self.waits_for = None
                    return
                why = (
                    f"store: another process has the store {self._schema}; give each its own schema, or wait until the "
                    "other has ended"
                )
            except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
                raise StoreError(
                    f"dsn: PostgreSQL refuses the user, password or database: {type(error).__name__}"
                ) from None
            except ValueError:  # asyncpg's own for a DSN is both this and an InterfaceError
                raise StoreError(_DSN) from None
            except _AWAY as error:
                why = (
                    f"store: PostgreSQL does not answer ({type(error).__name__}): check that it runs, and that host "
                    "and port of `dsn` are right and reachable from here"
                )
            self.waits_for = why
            warnings.warn("%s; waiting", why)
            await self.close()
            await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=2)
            except _AWAY:
                connection.terminate()

    def _sql(self, text: str) -> str:
        return text.format(schema=self._schema)


_LOCK = "SELECT pg_try_advisory_lock(hashtextextended($1, 0))"

_HAS_SCHEMA = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)"

_LAYOUT = """
CREATE TABLE IF NOT EXISTS {schema}.store (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    layout integer NOT NULL,
    party text NOT NULL,
    generation uuid NOT NULL,
    commits bigint NOT NULL,
    positions text NOT NULL,
    state text NOT NULL
);
CREATE TABLE IF NOT EXISTS {schema}.records (
    id text PRIMARY KEY,
    partition integer NOT NULL,
    epoch integer NOT NULL,
    n bigint NOT NULL,
    unreadable boolean NOT NULL,
    express bigint NOT NULL,
    bulk bigint NOT NULL,
    record bytea
);
"""

_CREATE = """
INSERT INTO {schema}.store (layout, party, generation, commits, positions, state) VALUES ($1, $2, $3, 0, $5, $4)
ON CONFLICT DO NOTHING
"""

_ROWS = "SELECT id, partition, epoch, n, unreadable, express, bulk, record FROM {schema}.records"

_RENEW = "UPDATE {schema}.store SET generation = $1 WHERE generation = $2 AND commits = $3"

_FORGET = {
    Lane.EXPRESS: "UPDATE {schema}.records SET express = -1",
    Lane.BULK: "UPDATE {schema}.records SET bulk = -1",
}

_COMMIT = """
WITH counted AS (
    UPDATE {schema}.store SET commits = commits + 1, positions = $3, state = coalesce($4, state)
    WHERE generation = $1 AND commits = $2 RETURNING commits
), kept AS (
    INSERT INTO {schema}.records AS held (id, partition, epoch, n, unreadable, express, bulk, record)
    SELECT u.* FROM counted, unnest($5::text[], $6::integer[], $7::integer[], $8::bigint[], $9::boolean[],
        $10::bigint[], $11::bigint[], $12::bytea[]) u
    ON CONFLICT (id) DO UPDATE SET partition = excluded.partition, epoch = excluded.epoch, n = excluded.n,
        unreadable = excluded.unreadable, express = excluded.express, bulk = excluded.bulk,
        record = coalesce(excluded.record, held.record)
)
SELECT count(*) FROM counted
"""
