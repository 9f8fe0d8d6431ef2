"""Free ports on loopback."""

import fcntl
import os
import random
import socket
import tempfile
from functools import cache
from pathlib import Path

LOOPBACK = "127.0.0.1"
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on now, and that no other call gives until this process ends, in any process.

    Drawn from below the range that systems give to outgoing connections, so that a server which is stopped
    for a while finds its port still free.
    """
    for _ in range(100):
        port = random.randrange(20000, 32000)  # noqa: S311 - no secret
        if is_free(port) and _claim(port):
            return port
    raise OSError(f"found no free port on {LOOPBACK} between 20000 and 32000")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _claim(port: int) -> bool:
    """Lock the port's byte of a file that all processes of this user share; a lock ends with its process."""
    if port in _given:
        return False
    try:
        fcntl.lockf(_claims(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    _given.add(port)
    return True


@cache
def _claims() -> int:
    path = Path(tempfile.gettempdir()) / f"kielto-ports-{os.getuid()}"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
