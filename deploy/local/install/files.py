"""Files and folders that appear complete or not at all."""

import contextlib
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
    """Copy a folder; `target` may exist."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def write_private(file: Path, text: str, *, once: bool = False) -> None:
    """Write a file for this user alone (mode 0600), complete or not at all.

    `once`: keep a file that exists already, also if another process makes it meanwhile.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    if once:
        with contextlib.suppress(FileExistsError):
            os.link(part, file)
        part.unlink()
    else:
        part.replace(file)
