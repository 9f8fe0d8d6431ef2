"""After a restore: repeat the merges since the backup."""

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
    """Merge again, given survivors by alias. A missing customer came after the backup. Idempotent.

    If a merge is refused now, consents still treats the two as one, since it takes no merge back. Only what the
    register publishes of them differs until an operator merges them.
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
