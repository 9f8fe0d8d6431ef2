"""Forward-only migrations: those of `kielto.service`, then the service's; each file NNNN_name.sql once, in one
transaction.

Several processes may start at once: an advisory lock lets one migrate while the others wait. An applied file never
changes; its SHA-256 is compared at every start.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from kielto.errors import KieltoError
from kielto.service.database import pool
from kielto.service.database.advisory_locks import Lock, wait_for

OWN = Path(__file__).parent / "migrations"
_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    origin text NOT NULL,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (origin, name)
)"""


class MigrationError(KieltoError):
    """A file is misnamed, or was changed after it was applied; names the file."""


@dataclass(frozen=True, slots=True)
class _File:
    origin: str
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


_PATIENTLY = "SET lock_timeout = '10min'"


async def migrate(dsn: str, directory: Path | None) -> list[str]:
    """Apply what is missing; returns the names. Raises MigrationError, one of AWAY, or PostgreSQL's own
    error.
    """
    files = [*_files("plumbing", OWN), *(_files("service", directory) if directory else ())]
    conn = await pool.connect(dsn, name="migrations", command_timeout=600)
    try:
        await conn.execute(_PATIENTLY)
        await wait_for(conn, Lock.MIGRATIONS)
        await conn.execute(_TABLE)
        return await _apply(conn, files)
    finally:
        await conn.close(timeout=5)


_APPLIED = "SELECT origin, name, sha256 FROM schema_migrations"

_INSERT = "INSERT INTO schema_migrations (origin, name, sha256) VALUES ($1, $2, $3)"


async def _apply(conn: "asyncpg.Connection[asyncpg.Record]", files: list[_File]) -> list[str]:
    rows = await conn.fetch(_APPLIED)
    known = {(row["origin"], row["name"]): row["sha256"] for row in rows}
    done = []
    for file in files:
        applied = known.get((file.origin, file.name))
        if applied is None:
            async with conn.transaction():
                await conn.execute(file.sql)
                await conn.execute(_INSERT, file.origin, file.name, file.sha256)
            done.append(file.name)
        elif applied != file.sha256:
            raise MigrationError(
                f"{file.name}: was changed after it was applied; restore it and add a new file"
            )
    return done


def _files(origin: str, directory: Path) -> list[_File]:
    paths = sorted(directory.glob("*.sql"))
    for path in paths:
        if not _NAME.fullmatch(path.name):
            raise MigrationError(f"{path.name}: must be named NNNN_name.sql")
    return [_File(origin, path.name, path.read_text(encoding="utf-8")) for path in paths]
