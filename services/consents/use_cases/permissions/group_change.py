"""Compute every record again after companies or partners joined, left, came back, or changed whom they work with."""

from uuid import UUID

from kielto.events.party import Party
from kielto.service.database.pool import Conn
from services.consents.model.ref import Ref
from services.consents.store.decisions import waiting
from services.consents.store.permissions import customers, locks
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.apply_facts import compute_anew

AT_ONCE = 100


async def recompute_next(conn: Conn, context: Context, after: UUID) -> UUID | None:
    """Compute the next customers by ascending id; the last one's id, or None when there are no more.

    Raises SubjectsMovedError, EpochNotOpenError.
    """
    kept = await customers.kept_after(conn, after, AT_ONCE)
    if not kept:
        return None
    refs = [(ref, record.subject) for record in kept for ref in customers.party_refs(record, context.keys)]
    for disclosed in await customers.disclosed(conn, [record.subject for record in kept]):
        party = Party.partner(disclosed.partner)
        if context.keys.knows(party):
            refs.append(
                (Ref.of_party(party, context.keys.pairwise(party, disclosed.customer)), disclosed.customer)
            )
    ids = [record.subject for record in kept]
    locked = await locks.for_facts(conn, ids, refs=[ref for ref, _ in refs])
    await customers.name(conn, refs)
    await waiting.due(conn, [ref for ref, _ in refs])
    await compute_anew(conn, context, locked)
    return max(ids)
