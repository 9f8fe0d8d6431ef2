"""`./kielto run SERVICE COMMAND …`: an operator's command of a service, with the environment of the running `up`.

`up` leaves the three services' environments in a file of its own while it runs, and takes it away when it ends.
"""

import json
import os
import sys
from pathlib import Path

from deploy.local.install.files import write_private
from deploy.local.progress import LocalError
from deploy.local.services import MODULES, Services

FILE = "environments.json"


def leave(services: Services) -> Path:
    """For those who come later; readable by this user alone."""
    found = {name: services.environment(name) for name in MODULES}
    kept = {name: {k: v for k, v in own.items() if k.startswith("KIELTO_")} for name, own in found.items()}
    file = services.folder / FILE
    write_private(file, json.dumps({"up": os.getpid(), "services": kept}, indent=1))
    return file


def environment(file: Path, service: str) -> dict[str, str]:
    """The settings of the running service. Raises LocalError."""
    try:
        left = json.loads(file.read_text("utf-8"))
        os.kill(left["up"], 0)
    except (FileNotFoundError, ProcessLookupError):
        raise LocalError("nothing runs that a command could be for: start `./kielto up` first") from None
    return dict(left["services"][service])


def main(arguments: list[str]) -> int:
    from deploy.local.up import FOLDER

    if not arguments or arguments[0] not in MODULES:
        print(f"usage: ./kielto run {'|'.join(MODULES)} COMMAND …", file=sys.stderr)
        return 2
    service, *command = arguments
    if not command:
        print(
            f"usage: ./kielto run {service} COMMAND … (the service itself runs in `./kielto up`)",
            file=sys.stderr,
        )
        return 2
    own = {k: v for k, v in os.environ.items() if not k.startswith("KIELTO_") or k == "KIELTO_OPERATOR"}
    settings = own | environment(FOLDER / FILE, service)
    become(service, command, settings)
    return 1  # never: this process is the command now


def become(service: str, command: list[str], settings: dict[str, str]) -> None:
    os.execve(sys.executable, [sys.executable, "-m", MODULES[service], *command], settings)  # noqa: S606
