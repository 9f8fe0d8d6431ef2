"""An exclusive lock on a file: one process, and in it one holder, at a time.

`flock` (Linux, macOS, BSD) goes with the open file, so the system ends it when the process ends, however that comes
about. A process made by `fork` shares the open file: it gives up its copy, and does not hold the lock.
"""

import os
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has none: nothing keeps a second process out there
    fcntl = None  # type: ignore[assignment]


class FileLock:
    """Held from here until `close`, or until nobody has this object any more. Raises BlockingIOError when somebody
    else holds it, and OSError.
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
