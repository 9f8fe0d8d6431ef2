"""The instances of the group's subscribers: list them, forget one that is gone, and what reconciliation found."""

from uuid import UUID

from pydantic import BaseModel, Field

from kielto.service.database.pool import in_transaction
from services.consents.store.propagation import acks, differences, instances, reconciliation
from services.consents.store.propagation.differences import OpenDifference
from services.consents.use_cases.context import Context


async def list_instances(context: Context) -> list[instances.Instance]:
    """The instances of every subscriber, the latest first."""
    async with context.pool.acquire() as conn:
        return await instances.instances(conn, context.group.subscribers)


async def end_instance(context: Context, subscriber: str, instance: UUID) -> bool:
    """Forget the instance; return False when there is none. An instance that acknowledges again is back."""
    return await in_transaction(context.pool, lambda conn: acks.end(conn, subscriber, instance))


_LISTED = 1000


class ReconciliationStatus(BaseModel):
    stores: list[reconciliation.LastAnswer]
    differences: list[OpenDifference] = Field(description="Open differences, the oldest first; at most 1000.")


async def reconciliation_status(
    context: Context, party: str | None, subscriber: str | None = None
) -> ReconciliationStatus:
    """The status of the subscribers of one party, or of one subscriber; None: of all."""
    asked = [
        s.id for s in context.group.subscribers if party in (None, s.party) and subscriber in (None, s.id)
    ]
    async with context.pool.acquire() as conn:
        return ReconciliationStatus(
            stores=await reconciliation.last(conn, asked),
            differences=await differences.listed(conn, asked, _LISTED),
        )
