"""The auditor in a service's process, and its command as an operator calls it."""

import asyncio
import sys
from uuid import uuid4

import asyncpg

from deploy.local.paths import ROOT
from deploy.local.services import Services
from tests.integration.service.process.test_process import MODULES, Writer, ground, services, shown
from tests.waiting import until

__all__ = ["ground", "services"]  # fixtures


async def test_it_runs_beside_the_relays_and_by_command(services: Services) -> None:
    person = uuid4()
    assert (await Writer(services).post(person)).status_code == 201
    conn = await asyncpg.connect(services.dsns["customers"])
    try:

        async def audited() -> bool:
            return bool(await conn.fetchval("SELECT n = 1 FROM audit WHERE key = $1", str(person)))

        await until(audited, "the process does not audit", seconds=30)
        assert "kielto_audit_leads 1.0" in await shown(services, "customers")
        assert "kielto_audit_leads 0.0" in await shown(services, "marketing")  # it writes no state
        done, told = await _command(services, "audit")
        assert (done, told) == (0, ""), told
        assert await _command(services, "void", "customers.state.v1", "x", "1") == (
            2,
            "usage: audit | void TOPIC PARTITION OFFSET\n",
        )
    finally:
        await conn.close()


async def _command(services: Services, *words: str) -> tuple[int | None, str]:
    """Its exit status and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        MODULES["customers"],
        *words,
        cwd=ROOT,
        env=services.environment("customers"),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return process.returncode, out.decode()
