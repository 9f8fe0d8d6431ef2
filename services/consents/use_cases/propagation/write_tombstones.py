"""Delete erased people's records from the bulk topics once every subscriber has the erasure, or its deadline has
passed.
"""

from collections.abc import Sequence

from kielto.events.topics import CONSENTS, Family, permissions_of
from kielto.group import Group
from kielto.service.database.pool import Conn
from kielto.service.outbox import tombstones
from kielto.service.outbox.tombstones import ErasedRecord
from services.consents.store.propagation import applied_erasures
from services.consents.use_cases.context import Context


async def write_tombstones_for_ever(context: Context) -> None:
    async def applied(conn: Conn, erased: Sequence[ErasedRecord]) -> set[tuple[str, str]]:
        return await applied_erasures.applied_erasures(conn, erased, context.group.subscribers)

    await tombstones.write_for_ever(context.pool, deadlines(context.group), applied)


def deadlines(group: Group) -> dict[Family, float]:
    """Seconds by family: the longest deadline of a subscriber of the party; of our own records the longest of all."""
    own = {
        permissions_of(party): max((s.deadline_seconds for s in group.subscribers_of(party)), default=0.0)
        for party in group.parties
    }
    return {CONSENTS: max(own.values()), **own}
