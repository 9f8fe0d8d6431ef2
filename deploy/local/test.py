"""`./kielto test`: every suite; ruff, mypy and the import contracts are among them (tests/architecture)."""

import os
import sys

from deploy.local.paths import ROOT


def main(arguments: list[str]) -> int:
    """Becomes pytest; options and paths are pytest's."""
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606
