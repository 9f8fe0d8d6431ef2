"""Runs a module of the product, and does to it what only its own process can: end it at a chosen step, or date it.

    python -m tests.faults.hooks ORDERS MODULE [ARGUMENTS]

ORDERS is a JSON file, read at the start: {"point": "after-commit", "nth": 3, "days": -3}. The point is good for one
life: the harness takes it away before the next. A killed process cleans up nothing, as one that the kernel ended.
"""

import functools
import itertools
import json
import os
import runpy
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any


def at(point: str, nth: int) -> None:
    """End this process when it comes to the point for the nth time."""
    place, wanted = point.split("-", 1)
    count = itertools.count(1)

    def around(step: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(step)
        async def counted(*args: Any, **kwargs: Any) -> Any:
            here = next(count) == nth
            if here and place == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = await step(*args, **kwargs)
            if here:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counted

    STEPS[wanted](around)


Around = Callable[[Callable[..., Any]], Callable[..., Any]]


def _commit(around: Around) -> None:
    """The end of a transaction at the primary or in a store: API, consumers and stores alike. A store commits by
    one statement, without a transaction around it.
    """
    from asyncpg.transaction import Transaction

    from kielto.subscriber.postgres import PostgresStore

    Transaction.__aexit__ = around(Transaction.__aexit__)  # type: ignore[method-assign]
    PostgresStore._write = around(PostgresStore._write)  # type: ignore[method-assign]


def _publish(around: Around) -> None:
    """Records given to the broker, until its answers."""
    from kielto.service import bulk, express

    for module in (express, bulk):
        module.deliver = around(module.deliver)  # type: ignore[attr-defined]


def _delete(around: Around) -> None:
    """The marks of what was published are deleted, and the positions noted."""
    from kielto.service import marks

    marks.published = around(marks.published)


def _ack(around: Around) -> None:
    """A subscriber's acknowledgement."""
    from kielto.subscriber.acks import Acknowledger

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


def on_day(days: float) -> None:
    """The wall clock of this process runs so many days ahead; monotonic clocks of the kernel stay."""
    import time_machine

    time_machine.travel(datetime.now(UTC) + timedelta(days=days), tick=True).start()


def main() -> None:
    orders, module, *arguments = sys.argv[1:]
    file = Path(orders)
    order = json.loads(file.read_text()) if file.exists() else {}
    if "point" in order:
        at(order["point"], order["nth"])
    if order.get("days"):
        on_day(order["days"])
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
