"""`./kielto test`: every suite; ruff, mypy and the import contracts are among them (tests/architecture)."""

import os
import sys

from deploy.local.paths import ROOT
from deploy.local.prepare import prepare


def main(arguments: list[str]) -> int:
    """Becomes pytest; options and paths are pytest's."""
    prepare()
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606
