"""`./kielto test`: every suite; ruff, mypy and the import contracts are among them (tests/architecture).

Without arguments three test files run at a time, each worker with servers of its own, because tests mostly wait;
named tests run one by one unless `-n` says otherwise. What tests write is kept in memory where there is enough: it
need not survive, and copying a database on a disk takes 0.2 s of processor time.

`./kielto test faults` injects faults on a schedule instead (tests/faults).
"""

import os
import shutil
import sys
from pathlib import Path

import psutil

from deploy.local.paths import ROOT
from deploy.local.servers.stack import prepare

_ALL = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
_MEMORY, _PLENTY = Path("/dev/shm"), 6 * 2**30  # noqa: S108 - pytest makes a folder of this user in it


def main(arguments: list[str]) -> int:
    """Replace this process by pytest, with its options and paths, or by the fault harness."""
    prepare()
    os.chdir(ROOT)
    if _is_plenty():
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    faults = arguments[:1] == ["faults"]
    what = ["tests.faults.command", *arguments[1:]] if faults else ["pytest", *(arguments or _ALL)]
    os.execv(sys.executable, [sys.executable, "-m", *what])  # noqa: S606


def _is_plenty() -> bool:
    """Whether memory has room for this run and for the last failed one, whose files are kept."""
    return (
        os.access(_MEMORY, os.W_OK)
        and shutil.disk_usage(_MEMORY).free > _PLENTY
        and psutil.virtual_memory().available > _PLENTY
    )
