"""The epoch of this database: claimed once, at the very first start, before anything is accepted.

Contract, "Restore". Every version begins with the epoch, so nothing that an older database wrote can win.
"""

from kielto.service.postgres import Conn, Pool


class NotClaimed(Exception):
    """No epoch yet: writes are answered 503 until Kafka was read and the epoch acknowledged there."""


async def current(conn: "Conn | Pool") -> int:
    """Raises NotClaimed."""
    epoch = await conn.fetchval("SELECT epoch FROM epoch")
    if epoch is None:
        raise NotClaimed
    return int(epoch)
