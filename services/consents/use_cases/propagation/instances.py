"""The instances of the group's subscribers: list them, and forget one that is gone for good."""

from uuid import UUID

from kielto.service.database.pool import in_transaction
from services.consents.store.propagation import acks, instances
from services.consents.store.propagation.instances import Instance
from services.consents.use_cases.context import Context


async def list_instances(context: Context) -> list[Instance]:
    """Of each subscriber, the latest first."""
    async with context.pool.acquire() as conn:
        return await instances.instances(conn, context.group.subscribers)


async def end_instance(context: Context, subscriber: str, instance: UUID) -> bool:
    """False when there is no such instance. One that acknowledges again after all is back."""
    return await in_transaction(context.pool, lambda conn: acks.end(conn, subscriber, instance))
