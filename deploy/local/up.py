"""`./kielto up`: the stack and the three services, until Ctrl-C. Data are kept from one time to the next."""

import argparse
import time

from deploy.local import run
from deploy.local.paths import HOME
from deploy.local.progress import say
from deploy.local.servers import ports
from deploy.local.servers.processes import Process, ProcessFailedError
from deploy.local.servers.stack import Stack
from deploy.local.services import MODULES, Services

FOLDER = HOME / "up"
FIRST_PORT, KAFKA_PORT = 8101, 9092


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./kielto up", description="Start everything; Ctrl-C stops it.")
    parser.add_argument("--fresh", action="store_true", help="begin without the data of the last time")
    parser.add_argument("--beat", type=float, default=1.0, metavar="SECONDS", help="between heartbeats (1)")
    options = parser.parse_args(arguments)
    stack = Stack(FOLDER / "stack", kafka_port=KAFKA_PORT if ports.is_free(KAFKA_PORT) else None)
    if options.fresh:
        stack.forget()
    say("starting PostgreSQL and Kafka")
    with stack:
        say("starting the services")
        with Services(stack, FOLDER, beat_seconds=options.beat, wanted_ports=wanted_ports()) as services:
            left = run.leave(services)
            try:
                show(services)
                return stay(services)
            finally:
                left.unlink(missing_ok=True)


def wanted_ports() -> dict[str, int]:
    """The same ports every time, where they are free."""
    wanted = {name: FIRST_PORT + place for place, name in enumerate(MODULES)}
    return {name: port for name, port in wanted.items() if ports.is_free(port)}


def show(services: Services) -> None:
    lines = [f"{name:<12} {services.url(name)}" for name in MODULES]
    lines.append(f"{'Kafka':<12} {services.stack.kafka.bootstrap}")
    lines.append(f"{'logs, keys':<12} {services.folder}")
    print(
        "\n".join(
            [
                *lines,
                "",
                "A token: ./kielto token.  A command: ./kielto run consents epoch.  Ctrl-C stops everything.",
            ]
        ),
        flush=True,
    )


def stay(services: Services) -> int:
    """Until Ctrl-C; raises ProcessFailedError when something that should run has ended."""
    servers = [server for server in (services.stack.postgres, services.stack.kafka) if server.managed]
    watched: list[Process] = [*services.processes.values(), *(server.process for server in servers)]
    try:
        while True:
            time.sleep(0.5)
            for process in watched:
                if not process.running:
                    raise ProcessFailedError(f"{process.name} has ended:\n{process.log_tail()}")
    except KeyboardInterrupt:
        say("stopping")
        return 0
