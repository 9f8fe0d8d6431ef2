"""The epoch of this database: the first half of every record's version. See docs/decisions/0021-epochs.md.

It is claimed at Kafka at the very first start (`recovery/claim.py`); after a restore a new one begins
(`recovery/new_epoch.py`), so that no record of an older database can win.
"""

import asyncio

from kielto.errors import KieltoError
from kielto.service.database.pool import Conn, Pool

_LOOK_SECONDS = 0.1


class EpochNotOpenError(KieltoError):
    """No epoch is open: writes are answered 503 until Kafka was read and the epoch acknowledged there."""


_CURRENT = "SELECT epoch FROM current_epoch"


async def current(conn: "Conn | Pool") -> int:
    """The epoch in which records may be committed now. Raises EpochNotOpenError."""
    epoch = await conn.fetchval(_CURRENT)
    if epoch is None:
        raise EpochNotOpenError
    return int(epoch)


_LATEST = "SELECT epoch, term FROM epoch"


async def latest(conn: "Conn | Pool") -> tuple[int, int] | None:
    """The epoch that was begun last, open or not, and its last term; None before the first start is complete."""
    row = await conn.fetchrow(_LATEST)
    return None if row is None else (row["epoch"], row["term"])


_TAKING_IN = "SELECT set_config('kielto.taking_in', 'on', true)"


async def commit_while_closed(conn: Conn) -> None:
    """Let this transaction commit while no epoch is open: it restores what our own topics say."""
    await conn.execute(_TAKING_IN)


_CHECKED = "SELECT epoch FROM current_epoch WHERE checked"


async def checked(conn: "Conn | Pool") -> int | None:
    """The epoch if it is open and was compared with our own topics since the server started, so that it may be relayed;
    else None.
    """
    epoch: int | None = await conn.fetchval(_CHECKED)
    return epoch


async def until_checked(conn: "Conn | Pool") -> None:
    """Wait, without a limit, until `checked`."""
    while await checked(conn) is None:  # noqa: ASYNC110 - PostgreSQL sends no event for it
        await asyncio.sleep(_LOOK_SECONDS)


_FIRST = "INSERT INTO epoch (epoch, term, open) VALUES ($1, 1, $2)"


async def insert(conn: "Conn | Pool", epoch: int, *, is_open: bool) -> None:
    """Record the epoch that the first start has claimed."""
    await conn.execute(_FIRST, epoch, is_open)


_NEW_TERM = """
UPDATE epoch SET term = term + 1
WHERE EXISTS (SELECT FROM current_epoch WHERE checked)
RETURNING epoch, term"""


async def new_term(conn: "Conn | Pool") -> tuple[int, int] | None:
    """Epoch and term of a new leadership of the express lane; no term is used twice. None when no epoch is open."""
    row = await conn.fetchrow(_NEW_TERM)
    return None if row is None else (row["epoch"], row["term"])


_END = "UPDATE epoch SET ending = coalesce(ending, $1) RETURNING epoch"


async def end(conn: "Conn | Pool", why: str) -> int | None:
    """End the open epoch, so that nothing is committed until a new one begins; return the epoch that ended, or None."""
    epoch: int | None = await conn.fetchval(_END, why)
    return epoch


_STATE = """
SELECT e.epoch, e.begun_at, e.why, CASE
    WHEN c.checked THEN 'open'
    WHEN c.epoch IS NOT NULL THEN 'open; not yet compared with our own topics since the server started'
    WHEN e.ending IS NOT NULL THEN 'ended: ' || e.ending || '; a new epoch will begin'
    WHEN NOT e.open AND e.timeline = kielto_timeline() THEN 'not open: reading the inputs and our own topics'
    ELSE 'ended: the data are on another server; a new epoch will begin'
END AS state
FROM epoch e LEFT JOIN current_epoch c ON true"""


async def describe(conn: "Conn | Pool") -> str:
    """One line for an operator: number, begin, reason and state, separated by tabs. Raises EpochNotOpenError."""
    row = await conn.fetchrow(_STATE)
    if row is None:
        raise EpochNotOpenError
    return f"epoch {row['epoch']}\tbegun {row['begun_at']:%Y-%m-%dT%H:%M:%SZ}\t{row['why']}\t{row['state']}"
