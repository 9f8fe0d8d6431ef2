"""`./kielto test`: every suite; ruff, mypy and the import contracts are among them (tests/architecture).

`./kielto test faults` breaks everything around the product on a schedule instead (tests/faults).
"""

import os
import sys

from deploy.local.paths import ROOT
from deploy.local.prepare import prepare


def main(arguments: list[str]) -> int:
    """Becomes pytest (options and paths are pytest's), or the fault harness."""
    prepare()
    os.chdir(ROOT)
    what = ["tests.faults.command", *arguments[1:]] if arguments[:1] == ["faults"] else ["pytest", *arguments]
    os.execv(sys.executable, [sys.executable, "-m", *what])  # noqa: S606
