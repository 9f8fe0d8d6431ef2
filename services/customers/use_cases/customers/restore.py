"""After a restore: repeat the merges and erasures since the backup. The topics keep `alias` and `erased` records of
them.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kielto.events.envelope import Read
from kielto.events.records import Customer
from kielto.events.words import Status
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.erasures.replay_erasures import erase_again
from services.customers.use_cases.links.replay_merges import merge_again

Kept = Status | UUID
"""What a customer's newest record says: erased, or merged into this customer."""


def keep(read: Any) -> Kept | None:
    event = read.event if isinstance(read, Read) else None
    if not isinstance(event, Customer):
        return None
    return Status.ERASED if event.status is Status.ERASED else event.alias_of


async def take_back(context: CustomersContext, kept: Mapping[str, Kept], _epoch: int) -> None:
    """Repeat what was kept, by customer id. Idempotent. Merges come first: an erased customer may have been merged
    before.
    """
    found = {UUID(key): what for key, what in kept.items()}
    await merge_again(context, {key: into for key, into in found.items() if isinstance(into, UUID)})
    await erase_again(context, [key for key, what in found.items() if what is Status.ERASED])
