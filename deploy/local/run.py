"""`./kielto run SERVICE COMMAND …`: runs an operator's command with the settings of the service that `up` runs.

While `up` runs, it keeps the environments of the three services in a file, which it deletes at its end.
"""

import json
import os
import sys
from pathlib import Path

from deploy.local.install.files import write_private
from deploy.local.progress import LocalError
from deploy.local.services import MODULES, Services

FILE = "environments.json"
USAGE = f"""\
usage: ./kielto run {"|".join(MODULES)} COMMAND …

Runs an operator's command with the settings of the service that `./kielto up` runs. docs/runbook.md explains the
commands; `./kielto run SERVICE help` lists those of a service."""


def leave(services: Services) -> Path:
    """Write the environments of the services for `./kielto run`, readable by this user alone; return the file."""
    kept = {
        name: {k: v for k, v in services.environment(name).items() if k.startswith("KIELTO_")}
        for name in MODULES
    }
    file = services.folder / FILE
    write_private(file, json.dumps({"up": os.getpid(), "services": kept}, indent=1))
    return file


def environment(file: Path, service: str) -> dict[str, str]:
    """The settings of the running service. Raises LocalError."""
    try:
        left = json.loads(file.read_text("utf-8"))
        os.kill(left["up"], 0)
    except (FileNotFoundError, ProcessLookupError):
        raise LocalError("no services are running: start `./kielto up` first") from None
    return dict(left["services"][service])


def main(arguments: list[str]) -> int:
    from deploy.local.up import FOLDER

    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    service, *command = arguments or [""]
    if service not in MODULES or not command:
        print(USAGE, file=sys.stderr)
        return 2
    own = {k: v for k, v in os.environ.items() if not k.startswith("KIELTO_") or k == "KIELTO_OPERATOR"}
    settings = own | environment(FOLDER / FILE, service)
    become(service, command, settings)
    return 1  # never: this process is the command now


def become(service: str, command: list[str], settings: dict[str, str]) -> None:
    os.execve(sys.executable, [sys.executable, "-m", MODULES[service], *command], settings)  # noqa: S606
