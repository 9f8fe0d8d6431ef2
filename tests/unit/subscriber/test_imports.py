"""Outside systems install the library without what the services need."""

import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "shared"
FOREIGN = {"fastapi", "faststream", "asyncpg", "cryptography", "uvicorn", "structlog", "kielto.service"}


def imported_by(statement: str) -> set[str]:
    script = f"import sys; sys.path.insert(0, {str(SHARED)!r}); {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["kielto.subscriber"])
def test_the_library_imports_nothing_of_the_services(module: str) -> None:
    assert imported_by(f"import {module}") & FOREIGN == set()


def test_the_look_would_see_it() -> None:
    assert "asyncpg" in imported_by("import kielto.subscriber.stores.postgres")
