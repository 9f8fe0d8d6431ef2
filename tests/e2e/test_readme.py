"""The README's example is run as it stands, but for the broker's address and the folder."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from deploy.local import token
from deploy.local.paths import ROOT
from deploy.local.servers.stack import Stack
from deploy.local.services import Services
from kielto.events.topics import decisions
from tests.e2e import log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
PERSON = {
    "number": "1001",
    "name": "Aino Esimerkki",
    "points": [{"kind": "phone", "value": "040 123 4567"}],
}


def example() -> str:
    found = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1]


def test_the_example_follows_asks_and_submits(tmp_path: Path) -> None:
    with Stack(tmp_path / "stack") as stack, Services(stack, tmp_path / "up", beat_seconds=0.5) as services:
        answer = httpx.post(
            services.url("customers") + "/imports?company=kauppa",
            content=json.dumps(PERSON) + "\n",
            headers={
                "Authorization": f"Bearer {token.issue(token.ROLES)}",
                "Content-Type": "application/x-ndjson",
            },
            timeout=30,
        )
        assert '"created"' in answer.text
        program = example().replace("127.0.0.1:9092", stack.kafka.bootstrap)
        program = program.replace(".kielto/up/", f"{tmp_path}/up/").replace(
            "await kielto.ready()", "await kielto.ready(); await until_known(kielto)"
        )
        helper = (
            "import asyncio\n"
            "async def until_known(kielto):\n"
            "    while kielto.count() == 0:\n"
            "        await asyncio.sleep(0.05)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", helper + program],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT / "shared")},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.stdout.splitlines() == ["call", "now: denied"], done.stderr[-2000:]
        sent = asyncio.run(log.places(stack.kafka.bootstrap, [decisions("company.kauppa")]))
        assert len(sent) == 1, "its ban is left in the spool"
