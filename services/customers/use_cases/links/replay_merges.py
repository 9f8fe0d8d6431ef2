"""After a restore: who was merged since the backup is merged again."""

from collections.abc import Mapping
from uuid import UUID

import structlog

from kielto.service.database import epoch
from kielto.service.database.pool import Conn
from services.customers.model.problems import CustomerRefusedError
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.customers.read import NoSuchCustomerError
from services.customers.use_cases.links.merge import merge_in

log = structlog.get_logger(__name__)


async def merge_again(context: CustomersContext, into: Mapping[UUID, UUID]) -> None:
    """Survivors by alias. Whoever is not there came after the backup. May be repeated.

    Where it is refused now, consents still holds the two for one: it takes no merge back. Only what the register
    publishes of them is apart until an operator merges them.
    """
    for duplicate, survivor in sorted(into.items()):

        async def work(conn: Conn, duplicate: UUID = duplicate, survivor: UUID = survivor) -> None:
            await epoch.commit_while_closed(conn)
            await merge_in(conn, context, duplicate, survivor)

        try:
            await in_transaction(context, work)
        except NoSuchCustomerError:
            log.warning("restore.alias_missing", customer=str(duplicate))
        except CustomerRefusedError as refused:
            fields = sorted({p.field for p in refused.problems})
            log.warning("restore.not_merged", customer=str(duplicate), into=str(survivor), fields=fields)
