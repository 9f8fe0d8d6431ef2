"""After a restore: repeat the merges and erasures since the backup. The topics keep `alias` and `erased` records of
them.
"""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import structlog

from kielto.events.envelope import Read
from kielto.events.records import Customer
from kielto.events.words import Status
from services.customers.model.problems import CustomerRefusedError, HasContactPersonsError
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.erase import erase
from services.customers.use_cases.merge import merge
from services.customers.use_cases.read import NoSuchCustomerError

Kept = Status | UUID
"""What a customer's newest record says: erased, or merged into this customer."""
log = structlog.get_logger(__name__)


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
    for duplicate, into in sorted((key, into) for key, into in found.items() if isinstance(into, UUID)):
        await _merge_again(context, duplicate, into)
    await _erase_again(context, (key for key, what in found.items() if what is Status.ERASED))


async def _merge_again(context: CustomersContext, duplicate: UUID, into: UUID) -> None:
    """A missing duplicate came after the backup.

    If a merge is refused now, consents still treats the two as one, since it takes no merge back. Only what the
    register publishes of them differs until an operator merges them.
    """
    try:
        await merge(context, duplicate, into, restoring=True)
    except NoSuchCustomerError:
        log.warning("restore.alias_missing", customer=str(duplicate))
    except CustomerRefusedError as refused:
        fields = sorted({p.field for p in refused.problems})
        log.warning("restore.not_merged", customer=str(duplicate), into=str(into), fields=fields)


async def _erase_again(context: CustomersContext, customers: Iterable[UUID]) -> None:
    """One that is missing was erased before the backup, or came after it."""
    left = sorted(customers)
    while left:
        waiting = [ident for ident in left if not await _erased(context, ident)]
        if len(waiting) == len(left):
            log.error("restore.organisations_not_erased", customers=len(left))
            return
        left = waiting  # organisations, once their contact persons are gone


async def _erased(context: CustomersContext, ident: UUID) -> bool:
    try:
        await erase(context, ident, restoring=True)
    except NoSuchCustomerError:
        return True
    except HasContactPersonsError:
        return False
    return True
