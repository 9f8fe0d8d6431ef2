"""`./kielto test`: every suite; ruff, mypy and the import contracts are among them (tests/architecture).

All of it runs two files at a time, each half on servers of its own (a test mostly waits); `-n 0` is one by one.
Anything more special than all is run one by one.

`./kielto test faults` breaks everything around the product on a schedule instead (tests/faults).
"""

import os
import sys

from deploy.local.paths import ROOT
from deploy.local.prepare import prepare

_ALL = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]


def main(arguments: list[str]) -> int:
    """Becomes pytest (options and paths are pytest's), or the fault harness."""
    prepare()
    os.chdir(ROOT)
    faults = arguments[:1] == ["faults"]
    what = ["tests.faults.command", *arguments[1:]] if faults else ["pytest", *(arguments or _ALL)]
    os.execv(sys.executable, [sys.executable, "-m", *what])  # noqa: S606
