"""The epoch of this database: claimed once, at the very first start, before anything is accepted (contract,
Restore).
"""

from collections.abc import Sequence

from kielto.events.topics import Family
from kielto.service.postgres import Conn, Pool


class NotClaimed(Exception):
    """No epoch yet: writes are answered 503 until Kafka was read and the epoch acknowledged there."""


async def current(conn: Conn | Pool) -> int:
    """Raises NotClaimed."""
    raise NotImplementedError


async def claim(dsn: str, bootstrap: str, families: Sequence[Family]) -> int:
    """The epoch; at the very first start claim one above every epoch seen in our own restrictions topics.

    Waits as long as Kafka is away; returns at once, without Kafka, when an epoch was claimed before.
    """
    raise NotImplementedError
