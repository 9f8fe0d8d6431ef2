"""Runs a module of the product, and does to it what only its own process can: end it at a chosen step, or date it.

    python -m tests.faults.hooks ORDERS MODULE [ARGUMENTS]

ORDERS is a JSON file: {"point": "after-commit", "nth": 3, "days": -3}. The days are read at the start; the point at
every step, so that the living process is ended soon after it is ordered. A killed process cleans up nothing, as one
that the kernel ended.
"""

import functools
import json
import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


class Orders:
    """What the harness wants of this process, read anew when the file has changed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read: tuple[int, int] | None = None
        self._order: dict[str, Any] = {}
        self._count = 0

    def obey(self, point: str) -> None:
        """End this process if it has come to the ordered point for the nth time since it was ordered."""
        if not self._file.exists():
            return
        stat = self._file.stat()
        if (stat.st_ino, stat.st_mtime_ns) != self._read:
            self._read = stat.st_ino, stat.st_mtime_ns
            self._order, self._count = json.loads(self._file.read_text()), 0
        if self._order.get("point") == point:
            self._count += 1
            if self._count == self._order["nth"]:
                os.kill(os.getpid(), signal.SIGKILL)


def at_points(orders: Orders) -> None:
    """Ask for orders before and after each step at which a process can be ended."""
    for name, wrap in STEPS.items():
        wrap(functools.partial(_around, orders, name))


def _around(orders: Orders, name: str, step: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(step)
    async def asked(*args: Any, **kwargs: Any) -> Any:
        orders.obey(f"before-{name}")
        result = await step(*args, **kwargs)
        orders.obey(f"after-{name}")
        return result

    return asked


Around = Callable[[Callable[..., Any]], Callable[..., Any]]


def _commit(around: Around) -> None:
    """The end of a transaction at the primary or in a store: API, consumers and stores alike. A store commits by
    one statement, without a transaction around it.
    """
    from asyncpg.transaction import Transaction

    from kielto.subscriber.stores.postgres import PostgresStore

    Transaction.__aexit__ = around(Transaction.__aexit__)  # type: ignore[method-assign]
    PostgresStore._write = around(PostgresStore._write)  # type: ignore[method-assign]


def _publish(around: Around) -> None:
    """Records given to the broker, until its answers."""
    from kielto.service.outbox import bulk_lane, express_lane

    for module in (express_lane, bulk_lane):
        module.deliver = around(module.deliver)  # type: ignore[attr-defined]


def _delete(around: Around) -> None:
    """The marks of what was published are deleted, and the positions noted."""
    from kielto.service.outbox import pending

    pending.published = around(pending.published)


def _ack(around: Around) -> None:
    """A subscriber's acknowledgement."""
    from kielto.subscriber.sync.acks import Acknowledger

    Acknowledger._send = around(Acknowledger._send)  # type: ignore[method-assign]


STEPS: dict[str, Callable[[Around], None]] = {
    "commit": _commit,
    "publish": _publish,
    "delete": _delete,
    "ack": _ack,
}
POINTS = {
    "service": ("before-commit", "after-commit"),
    "relay": ("before-publish", "after-publish", "before-delete", "after-delete"),
    "follower": ("before-commit", "after-commit", "before-ack", "after-ack"),
}
"""Where each kind of process can be ended."""


def tell_joined(told: Path) -> None:
    """Write `told` when a consumer of this process was given partitions: it has joined its group."""
    from kielto.service.inbox.topic_reader import TopicReader

    assigned = TopicReader.on_partitions_assigned

    def telling(self: TopicReader, partitions: Iterable[Any]) -> None:
        assigned(self, partitions := list(partitions))
        if partitions:
            told.touch()

    TopicReader.on_partitions_assigned = telling  # type: ignore[method-assign,assignment]


def on_day(days: float) -> None:
    """The wall clock of this process runs so many days ahead; monotonic clocks of the kernel stay."""
    import time_machine

    time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True).start()


def joined(orders: Path) -> Path:
    """The file that stands when the process of these orders has joined a group."""
    return orders.with_suffix(".joined")


def main() -> None:
    orders, module, *arguments = sys.argv[1:]
    file = Path(orders)
    order = json.loads(file.read_text()) if file.exists() else {}
    at_points(Orders(file))
    tell_joined(joined(file))
    if order.get("days"):
        on_day(order["days"])
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
