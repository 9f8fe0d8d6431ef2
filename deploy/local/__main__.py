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
    "demo": (
        "deploy.local.demo.command",
        "run bans through services and subscribers on public sample data, and check each step",
    ),
    "up": (
        "deploy.local.up",
        "start Kafka, PostgreSQL and the services; print their URLs; Ctrl-C stops them",
    ),
    "run": (
        "deploy.local.run",
        "run an operator's command beside `up`: run SERVICE COMMAND, e.g. run consents epoch",
    ),
    "test": (
        "deploy.local.test",
        "run all checks and tests, or those of a path (pytest's options); or: test faults",
    ),
    "bench": ("tests.bench", "measure speed and memory against the goals: bench NAME"),
    "token": ("deploy.local.token", "print a bearer token for the services that `up` runs"),
    "generate": ("tests.contracts.generate", "write docs/contract and docs/limits.md anew from the code"),
    "structure": (
        "tests.architecture.structure",
        "print figures of the source tree: sizes, names, a ban's main path",
    ),
}


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(usage())
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"kielto: unknown command {name!r}\n\n{usage()}", file=sys.stderr)
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
    lines += [f"  {name:<10} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join([*lines, "", "./kielto COMMAND --help shows the options of a command."])


def _hold_environment() -> None:
    """Keep environment.py from replacing the environment while this process, or what it becomes by exec, runs."""
    HOME.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    lock = os.open(HOME / "environment.lock", os.O_RDWR | os.O_CREAT, 0o644)
    os.set_inheritable(lock, True)
    fcntl.flock(lock, fcntl.LOCK_SH)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGTERM and SIGHUP as Ctrl-C: stop the children in order, then exit."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
