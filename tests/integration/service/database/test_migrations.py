"""Forward only: once, in order, by one process while others wait; a changed file is refused."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from kielto.service.database import migrations
from kielto.service.database.migrations import MigrationError, migrate

OWN = sorted(path.name for path in migrations.OWN.iterdir())


@pytest.fixture
def dsn(database: Callable[[str], str]) -> str:
    return database("migrated")


def write(directory: Path, name: str, sql: str) -> None:
    (directory / name).write_text(sql)


async def _tables(dsn: str) -> set[str]:
    conn = await asyncpg.connect(dsn)
    rows = await conn.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await conn.close()
    return {row["tablename"] for row in rows}


async def test_each_once_and_in_order(dsn: str, tmp_path: Path) -> None:
    write(tmp_path, "0001_a.sql", "CREATE TABLE a (x int)")
    assert await migrate(dsn, tmp_path) == [*OWN, "0001_a.sql"]
    write(tmp_path, "0002_b.sql", "ALTER TABLE a ADD y int; CREATE TABLE b (x int)")
    assert await migrate(dsn, tmp_path) == ["0002_b.sql"]
    assert await migrate(dsn, tmp_path) == []
    assert {"a", "b", "records", "marks", "schema_migrations"} <= await _tables(dsn)


async def test_a_failing_one_leaves_nothing(dsn: str, tmp_path: Path) -> None:
    write(tmp_path, "0001_a.sql", "CREATE TABLE a (x int)")
    write(tmp_path, "0002_b.sql", "CREATE TABLE b (x int); SELECT 1 / 0")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate(dsn, tmp_path)
    assert "a" in await _tables(dsn)
    assert "b" not in await _tables(dsn)


async def test_many_at_once(dsn: str, tmp_path: Path) -> None:
    write(tmp_path, "0001_a.sql", "CREATE TABLE a (x int); SELECT pg_sleep(0.2)")
    done = await asyncio.gather(*(migrate(dsn, tmp_path) for _ in range(4)))
    assert sorted(len(names) for names in done) == [0, 0, 0, len(OWN) + 1]


async def test_a_changed_or_misnamed_file_is_refused(dsn: str, tmp_path: Path) -> None:
    write(tmp_path, "0001_a.sql", "CREATE TABLE a (x int)")
    await migrate(dsn, tmp_path)
    write(tmp_path, "0001_a.sql", "CREATE TABLE a (x bigint)")
    with pytest.raises(MigrationError, match="was changed after"):
        await migrate(dsn, tmp_path)
    write(tmp_path, "next.sql", "")
    with pytest.raises(MigrationError, match=r"next\.sql"):
        await migrate(dsn, tmp_path)


def test_the_plumbings_own_are_well_named() -> None:
    assert [file.name for file in migrations._files("plumbing", migrations.OWN)] == OWN
