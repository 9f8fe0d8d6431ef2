"""After a restore: repeat the erasures since the backup."""

from collections.abc import Iterable
from uuid import UUID

import structlog

from kielto.service.database import epoch
from kielto.service.database.pool import Conn
from services.customers.model.problems import HasContactPersonsError
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.customers.read import NoSuchCustomerError
from services.customers.use_cases.erasures.erase import erase_in

log = structlog.get_logger(__name__)


async def erase_again(context: CustomersContext, customers: Iterable[UUID]) -> None:
    """Erase these customers again. One that is missing was erased before the backup, or came after it. Idempotent."""
    left = sorted(customers)
    while left:
        waiting = [ident for ident in left if not await _erased(context, ident)]
        if len(waiting) == len(left):
            log.error("restore.organisations_not_erased", customers=len(left))
            return
        left = waiting  # organisations, once their contact persons are gone


async def _erased(context: CustomersContext, ident: UUID) -> bool:
    async def work(conn: Conn) -> None:
        await epoch.commit_while_closed(conn)
        await erase_in(conn, context, ident)

    try:
        await in_transaction(context, work)
    except NoSuchCustomerError:
        return True
    except HasContactPersonsError:
        return False
    return True
