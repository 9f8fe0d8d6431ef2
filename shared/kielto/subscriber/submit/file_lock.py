"""An exclusive lock on a file: one process, and in it one holder, at a time.

`flock` (Linux, macOS, BSD) belongs to the open file, so the system releases it when the process ends for any reason. A
process made by `fork` closes its copy of the file, and does not hold the lock.
"""

import os
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no flock: there a second process is not kept out
    fcntl = None  # type: ignore[assignment]


class FileLock:
    """Holds the lock until `close`, or until the object is collected. Raises BlockingIOError when another holds it, and
    OSError.
    """

    def __init__(self, path: Path) -> None:
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        self._end = weakref.finalize(self, os.close, handle)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise
        _all.add(self)

    @property
    def held(self) -> bool:
        """False after `close`, and in a process that was forked from the holder's."""
        return self._end.alive

    def close(self) -> None:
        self._end()


_all: "weakref.WeakSet[FileLock]" = weakref.WeakSet()


def _give_up_copies() -> None:
    for lock in list(_all):
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_give_up_copies)
