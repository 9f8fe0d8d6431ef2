"""The example of the README runs as it stands."""

import asyncio
import os
import sys
from pathlib import Path

from tests.integration.subscriber.customers import POINT_KEY, customer
from tests.integration.subscriber.relay import Relay

ROOT = Path(__file__).parents[3]


async def test_the_example(relay: Relay, tmp_path: Path) -> None:
    await relay.backfill(customer("aino"), customer("pekka", allowed=False))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(ROOT / "examples" / "follow.py"),
        "crm",
        relay.party,
        *(f"{name}@example.com" for name in ("aino", "pekka", "nobody")),
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT / "shared"),
            "KIELTO_KAFKA": relay.bootstrap,
            "KIELTO_POINT_KEY": POINT_KEY.hex(),
        },
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(40):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert said.decode().splitlines() == [
        "aino@example.com yes",
        "pekka@example.com no: unknown",
        "nobody@example.com no: unknown",
    ]
