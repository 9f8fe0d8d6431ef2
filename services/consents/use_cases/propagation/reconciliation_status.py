"""What reconciliation knows: the last answer of each instance, and the differences that stand."""

from typing import NamedTuple

from services.consents.store.propagation import differences, reconciliation
from services.consents.store.propagation.differences import OpenDifference
from services.consents.store.propagation.reconciliation import LastAnswer
from services.consents.use_cases.context import Context

_LISTED = 1000


class ReconciliationStatus(NamedTuple):
    stores: list[LastAnswer]
    differences: list[OpenDifference]
    """The oldest first, at most 1000."""


async def reconciliation_status(
    context: Context, party: str | None, subscriber: str | None = None
) -> ReconciliationStatus:
    """Of the subscribers of one party, or one subscriber; None: of all."""
    asked = [
        s.id for s in context.group.subscribers if party in (None, s.party) and subscriber in (None, s.id)
    ]
    async with context.pool.acquire() as conn:
        return ReconciliationStatus(
            await reconciliation.last(conn, asked), await differences.listed(conn, asked, _LISTED)
        )
