"""Whatever the HTTP descriptions allow, and much that they do not: no 5xx, and no answer that is not described.

Schemathesis makes the calls: a few for each operation here, more by KIELTO_SCHEMATHESIS_EXAMPLES.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import token
from deploy.local.servers.stack import Stack
from deploy.local.services import Services

EXAMPLES = os.environ.get("KIELTO_SCHEMATHESIS_EXAMPLES", "5")
APART = {
    "/customers/imports": "JSON Lines are no media type of Schemathesis; customers/test_import.py",
    "/consents/proof/live": "a stream of a quarter of an hour; consents/test_proof_queries.py",
}
"""Paths that it does not call, why, and where they are tested instead."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("descriptions")
    with Stack(folder / "stack") as stack, Services(stack, folder / "up", beat_seconds=0.5) as running:
        yield running


@pytest.mark.parametrize("name", ["customers", "consents", "marketing"])
def test_nothing_breaks_and_everything_is_described(services: Services, name: str, tmp_path: Path) -> None:
    url = services.url(name)
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json"),
        *("--url", url.removesuffix(f"/{name}")),
        *("--header", f"Authorization: Bearer {token.issue(token.ROLES)}"),
        *("--checks", ",".join(CHECKS)),
        *("--phases", "examples,coverage,fuzzing"),
        *("--max-examples", EXAMPLES),
        *("--request-timeout", "20"),
        *(word for path in APART for word in ("--exclude-path", path)),
        *("--seed", "1"),
        "--no-color",
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
