"""`./kielto test`: the tools' checks and every suite; with options or paths, pytest with just those."""

import subprocess
import sys

from deploy.local.paths import ROOT


def main(arguments: list[str]) -> int:
    """The exit status of the first that failed, 0 when all is well. Checks run as tests/architecture."""
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], cwd=ROOT, check=False).returncode
