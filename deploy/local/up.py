"""`./kielto up`: Kafka, PostgreSQL and the three services, until Ctrl-C. The data stay for the next start."""

import argparse
import time

from deploy.local import ports, run
from deploy.local.paths import HOME
from deploy.local.progress import say
from deploy.local.servers.processes import Process
from deploy.local.servers.stack import Stack
from deploy.local.services import MODULES, Services

FOLDER = HOME / "up"
FIRST_PORT, KAFKA_PORT = 8101, 9092


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./kielto up",
        description="Start Kafka, PostgreSQL and the three services, and print their URLs. Ctrl-C stops them.",
    )
    parser.add_argument("--fresh", action="store_true", help="delete the data of the last run first")
    parser.add_argument(
        "--beat", type=float, default=1.0, metavar="SECONDS", help="time between heartbeats (default: 1)"
    )
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
    """The same ports at each start, as far as they are free."""
    wanted = {name: FIRST_PORT + place for place, name in enumerate(MODULES)}
    return {name: port for name, port in wanted.items() if ports.is_free(port)}


def show(services: Services) -> None:
    lines = [f"{name:<12} {services.url(name)}" for name in MODULES]
    lines.append(f"{'Kafka':<12} {services.stack.kafka.bootstrap}")
    lines.append(f"{'logs, keys':<12} {services.folder}")
    lines.append(
        "\n./kielto token prints a token, ./kielto run consents epoch runs a command. Ctrl-C stops everything."
    )
    print("\n".join(lines), flush=True)


def stay(services: Services) -> int:
    """Wait for Ctrl-C. Raises ProcessFailedError when a process has ended by itself."""
    servers = [server for server in (services.stack.postgres, services.stack.kafka) if server.managed]
    watched: list[Process] = [*services.processes.values(), *(server.process for server in servers)]
    try:
        while True:
            time.sleep(0.5)
            for process in watched:
                if not process.running:
                    raise process.failed("has ended by itself")
    except KeyboardInterrupt:
        say("stopping the services, Kafka and PostgreSQL")
        return 0
