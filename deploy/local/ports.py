"""Free ports on loopback."""

import random
import socket

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on now.

    Drawn from below the range that systems give to outgoing connections, so that a server which is stopped
    for a while finds its port still free.
    """
    for _ in range(100):
        port = random.randrange(20000, 32000)  # noqa: S311 - no secret
        if is_free(port):
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
