"""Every advisory lock of a service's database. A lock ends with its session or transaction."""

from enum import IntEnum

from kielto.service.database.pool import Conn

_KIELTO = 0x6B69_656C_746F_00  # "kielto": numbers that nothing else in the database uses


class Lock(IntEnum):
    """The lock numbers by purpose. A number is never given to another purpose."""

    MIGRATIONS = _KIELTO + 0x01
    """One process migrates; the others wait."""
    EXPRESS_LANE = _KIELTO + 0x02
    """One relay leads the express lane."""
    BULK_LANE = _KIELTO + 0x03
    """One relay leads the bulk lane."""
    CLAIM = _KIELTO + 0x04
    """One process claims the first epoch."""
    PARTIES = _KIELTO + 0x05
    """One transaction compares the group file with the parties known before."""
    AUDITOR = _KIELTO + 0x0A
    """One auditor reads back the service's own topics."""
    DECISION_LOG = _KIELTO + 0x53
    """Consents: one transaction appends to the log of decisions."""
    RECONCILIATION = _KIELTO + 0x54
    """Consents: one transaction asks subscribers for digests of their stores."""


_WAIT = "SELECT pg_advisory_lock($1)"

_WAIT_IN_TRANSACTION = "SELECT pg_advisory_xact_lock($1)"


async def wait_for(conn: Conn, lock: Lock, *, in_transaction: bool = False) -> None:
    """Take the lock for the session, or until the transaction ends."""
    await conn.execute(_WAIT_IN_TRANSACTION if in_transaction else _WAIT, lock)


_TRY = "SELECT pg_try_advisory_lock($1)"

_TRY_IN_TRANSACTION = "SELECT pg_try_advisory_xact_lock($1)"


async def try_for(conn: Conn, lock: Lock, *, in_transaction: bool = False) -> bool:
    """Take the lock as `wait_for` does; False, at once, while somebody else has it."""
    return bool(await conn.fetchval(_TRY_IN_TRANSACTION if in_transaction else _TRY, lock))
