"""Ends a process group when the process that started it is gone, however it went.

Run by processes.py, as leader of the group that all children of one process share; standard library only.
Its standard input is a pipe that the parent alone holds open. A child that is just being forked holds it too,
until it has become its program: so the end of the pipe cannot be seen before every child is in the group.
"""

import os
import signal
import sys
import time

GRACE_SECONDS = 5.0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    group = os.getpgrp()
    while os.read(sys.stdin.fileno(), 1):
        pass
    if os.fork():
        os._exit(0)  # the group is now its children alone, so it can be seen to be empty
    os.setpgid(0, 0)
    if send(group, signal.SIGTERM) and send(group, signal.SIGCONT):
        end = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < end and send(group, 0):
            time.sleep(0.05)
    send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Whether anyone was there to get it."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so when only zombies are left
        return False
    return True


if __name__ == "__main__":
    main()
