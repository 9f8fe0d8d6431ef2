"""`./kielto <command>`: passes the rest of the command line on to the command's own module."""

import fcntl
import importlib
import os
import signal
import sys
from types import FrameType

from deploy.local.paths import HOME, PRIVATE
from deploy.local.progress import LocalError, say

COMMANDS = {
    "demo": ("deploy.local.demo", "a ban's way through the group, shown on real people and checked"),
    "up": ("deploy.local.up", "start everything and stay; prints the URLs, Ctrl-C stops all"),
    "run": ("deploy.local.run", "an operator's command of a service that `up` runs: run SERVICE COMMAND"),
    "test": ("deploy.local.test", "all checks and tests; options and paths go to pytest; or: test faults"),
    "bench": ("tests.bench", "measure: bench NAME --json FILE"),
    "token": ("deploy.local.token", "print a bearer token for the local services"),
    "structure": (
        "tests.architecture.structure",
        "figures of the source tree: sizes, names, the way of a ban",
    ),
}


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(usage())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"kielto: there is no command {name!r}\n\n{usage()}", file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    _hold_environment()
    try:
        result = importlib.import_module(COMMANDS[name][0]).main(rest)
    except KeyboardInterrupt:
        return 130
    except LocalError as error:
        say(str(error))
        return 1
    assert isinstance(result, int)
    return result


def usage() -> str:
    lines = ["usage: ./kielto COMMAND [OPTIONS]", ""]
    lines += [f"  {name:<9} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join([*lines, "", "./kielto COMMAND --help tells a command's options."])


def _hold_environment() -> None:
    """Nobody makes the environment anew under this process, nor under what it becomes by exec (environment.py)."""
    HOME.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    lock = os.open(HOME / "environment.lock", os.O_RDWR | os.O_CREAT, 0o644)
    os.set_inheritable(lock, True)
    fcntl.flock(lock, fcntl.LOCK_SH)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Whatever asks us to end, children are stopped in order on the way out, as after Ctrl-C."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
