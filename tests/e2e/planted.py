"""Bugs on purpose: runs a module with one planted, so that the tests that should catch it are seen to.

    python -m tests.e2e.planted BUG MODULE [ARGUMENTS]

Nothing of this is in the product: each bug replaces a function of a running process of the tests.
"""

import runpy
import sys
from collections.abc import Callable
from typing import Any


def slow_relay(then: Callable[[Any, Any, Any], Any] | None = None) -> None:
    """No bug: while the folder PLANTED_REST exists, the relay rests between reading marks and sending, so that it can
    be killed there; it says so by a file in the folder.
    """
    import asyncio
    import os
    from pathlib import Path

    from kielto.service.outbox import pending

    fetch, folder = pending.fetch, Path(os.environ["PLANTED_REST"])

    async def planted(conn: Any, lane: Any, *rest: Any) -> Any:
        found, last, count = await fetch(conn, lane, *rest)
        if found:
            if then is not None:
                await then(conn, lane, found)
            if folder.exists():  # noqa: ASYNC240 - a moment
                (folder / str(os.getpid())).touch()
                await asyncio.sleep(60)
        return found, last, count

    pending.fetch = planted  # type: ignore[assignment]


def deleted_before_the_answer() -> None:
    """The relay deletes a mark as soon as it has read it, before the broker's answer."""

    async def delete(conn: Any, lane: Any, found: Any) -> None:
        ids = [ident for marked in found for ident in marked.ids]
        await conn.execute("DELETE FROM marks WHERE lane = $1 AND id = ANY($2::bigint[])", lane.value, ids)

    slow_relay(delete)


def slow_bulk() -> None:
    """No bug: the bulk lane of a subscriber begins late, so that older records are read after newer ones."""
    import asyncio

    from kielto.events.topics import Lane
    from kielto.subscriber.sync.reading import Following

    read = Following._read

    async def planted(self: Following, lane: Lane, consumer: Any) -> None:
        await asyncio.sleep(2.0 if lane is Lane.BULK else 0)
        await read(self, lane, consumer)

    Following._read = planted  # type: ignore[method-assign]


def keep_the_last(self: Any, lane: Any, partition: int, offset: int, content: Any) -> None:
    """In the place of `Follower._record`."""
    row = self.image.row(content.ident)
    if row is None:
        row = self.image.add(content.ident, partition, content.version, content)
    self.image.raise_version(row, content.version)
    self.image.put(row, content)
    self.image.see(row, lane, offset)
    self._delta.news = True
    self._touch(content.key, content.value)


def no_version_guard() -> None:
    """A subscriber keeps whatever it read last."""
    import numpy as np

    from kielto.subscriber.columnar import merge
    from kielto.subscriber.replica.follower import Follower

    slow_bulk()

    def singly(image: Any, block: Any, rows: Any, held: Any, one_by_one: Any) -> tuple[Any, Any]:
        one_by_one[held] = True
        return held[:0], np.zeros(len(rows), bool)

    Follower._record = keep_the_last  # type: ignore[method-assign]
    merge._split_held = singly  # type: ignore[assignment]


def default_acknowledgement() -> None:
    """FastStream's defaults: acknowledge first, keep positions in the group, go on after an error."""
    from faststream import AckPolicy
    from faststream.kafka import KafkaBroker

    from kielto.service.inbox import consumers, watchdog
    from kielto.service.inbox.topic_reader import TopicReader

    subscriber = KafkaBroker.subscriber
    watchdog._STUCK_SECONDS = float("inf")  # nobody begins again who lost something

    def planted(self: KafkaBroker, *topics: Any, **options: Any) -> Any:
        return subscriber(self, *topics, **{**options, "ack_policy": AckPolicy.ACK_FIRST})

    KafkaBroker.subscriber = planted  # type: ignore[method-assign,assignment]
    consumers.check = lambda broker: None
    TopicReader.on_partitions_assigned = lambda self, assigned: None  # type: ignore[method-assign]
    TopicReader.back_off = lambda self, transient: None  # type: ignore[method-assign]


def no_epoch() -> None:
    """A restored database goes on in the epoch of its backup."""
    from kielto.service.recovery.new_epoch import Epochs

    async def planted(self: Epochs, conn: Any) -> None:
        await conn.execute("UPDATE epoch SET started = pg_postmaster_start_time()")

    Epochs.ensure = planted  # type: ignore[method-assign]


def epoch_of_the_database() -> None:
    """A new epoch is above that of the backup, whatever the topics hold: the same backup gives the same one twice."""
    from kielto.service.recovery import topic_scan

    async def planted(*_: Any, **__: Any) -> int:
        return 0

    topic_scan.highest_epoch = planted


BUGS: dict[str, Callable[[], None]] = {
    "slow-bulk": slow_bulk,
    "slow-relay": slow_relay,
    "deleted-before-the-answer": deleted_before_the_answer,
    "no-version-guard": no_version_guard,
    "default-acknowledgement": default_acknowledgement,
    "no-epoch": no_epoch,
    "epoch-of-the-database": epoch_of_the_database,
}


def main() -> None:
    bug, module, *arguments = sys.argv[1:]
    BUGS[bug]()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
