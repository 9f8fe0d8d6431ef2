"""A process says that it lives from its first moment on, whatever it waits for, and why it is not ready."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest

from deploy.local import ports, token
from deploy.local.keys import make
from deploy.local.paths import ROOT
from kielto import group
from kielto.service.database.advisory_locks import Lock, wait_for
from tests.integration.service.support import environment
from tests.waiting import until

WRITER = "tests.integration.service.example.writer"


@pytest.fixture
def port() -> int:
    return ports.free_port()


@pytest.fixture
def given(tmp_path_factory: pytest.TempPathFactory, port: int) -> dict[str, str]:
    """All that the process needs but its database; Kafka is away all the time."""
    folder = tmp_path_factory.mktemp("keys")
    make(group.load(ROOT / "group.yaml"), folder)
    return environment(
        KIELTO_KAFKA_BOOTSTRAP="127.0.0.1:1",
        KIELTO_GROUP_FILE=str(ROOT / "group.yaml"),
        KIELTO_KEYS_FILE=str(folder / "services.keys.json"),
        KIELTO_HTTP_PORT=str(port),
        KIELTO_METRICS_PORT="0",
        KIELTO_JWKS=str(token.key_set()),
        KIELTO_ISSUER=token.ISSUER,
    )


@asynccontextmanager
async def started(given: dict[str, str], dsn: str) -> AsyncIterator["asyncio.subprocess.Process"]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", WRITER, env=given | {"KIELTO_POSTGRES_DSN": dsn}, cwd=ROOT
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answer(port: int, path: str) -> tuple[int, str]:
    """Status, and the problem's slug; 0 while nobody listens."""
    try:
        async with httpx.AsyncClient(timeout=5) as client:
            given = await client.get(f"http://127.0.0.1:{port}{path}")
    except httpx.TransportError:
        return 0, ""
    return given.status_code, given.json().get("type", "").rpartition(":")[2]


async def is_answered(port: int, path: str, wanted: tuple[int, str]) -> bool:
    return await answer(port, path) == wanted


async def test_while_the_database_is_away(given: dict[str, str], port: int) -> None:
    async with started(given, "postgresql://nobody@127.0.0.1:1/none") as process:
        away = (503, "database-unavailable")
        await until(lambda: is_answered(port, "/livez", (200, "")), "it does not say that it lives")
        await until(lambda: is_answered(port, "/readyz", away), "it does not say why it is not ready")
        assert await answer(port, "/customers/people/1") == away
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 8) == 0


async def test_while_migrations_run(given: dict[str, str], port: int, database: Callable[[str], str]) -> None:
    dsn = database("starting")
    conn = await asyncpg.connect(dsn)
    try:
        await wait_for(conn, Lock.MIGRATIONS)  # another process migrates
        async with started(given, dsn):
            await until(lambda: is_answered(port, "/readyz", (503, "starting")), "not served")
            assert await answer(port, "/livez") == (200, "")
            await conn.execute("SELECT pg_advisory_unlock_all()")
            ready = (503, "epoch-not-claimed")  # the service's own answer: Kafka is away
            await until(lambda: is_answered(port, "/readyz", ready), "the service itself never serves")
            assert await answer(port, "/livez") == (200, "")
    finally:
        await conn.close()
