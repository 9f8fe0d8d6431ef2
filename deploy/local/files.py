"""Folders that are there whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def make_once(folder: Path, make: Callable[[Path], None]) -> Path:
    """`folder`, made by `make(empty folder)` if it is not there yet.

    It is made beside its place and renamed into it, so one that exists is complete; of two makers at once the
    second throws its own away.
    """
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=f"{folder.name}-", ignore_cleanup_errors=True
    ) as part:
        content = Path(part) / "content"
        content.mkdir()
        make(content)
        try:
            os.rename(content, folder)
        except OSError:
            if not folder.exists():
                raise
    return folder


def copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target, symlinks=True)
