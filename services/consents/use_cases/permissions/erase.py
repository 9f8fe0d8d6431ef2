"""Before a customer's record becomes a bare `erased`: keep their restrictions for whoever is known to be the same
person.
"""

from collections.abc import Sequence
from datetime import datetime

from kielto.service.database.pool import Conn
from services.consents.store.decisions import suppressions
from services.consents.store.permissions import locks, state
from services.consents.store.permissions.customers import CustomerProjection
from services.consents.store.permissions.locks import Locked
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.evaluate_people import evaluate_people


async def erase(
    conn: Conn, context: Context, rows: Sequence[CustomerProjection], locked: Locked, at: datetime
) -> None:
    """In the transaction that stores the records, under its locks. Raises SubjectsMovedError."""
    erased = [(row.id, row.version) for row in rows if row.erased]
    going = set(await suppressions.newer(conn, erased)) if erased else set()
    if not going:
        return
    found = await state.load(conn, sorted(going))
    locks.must_cover(locked, found.hit)
    theirs = [j for j in evaluate_people(context, found) if not going.isdisjoint(j.person.keys)]
    own = {(c, d) for j in theirs for c in j.person.keys if c in going for d in j.own}
    await suppressions.add(conn, own, [c for j in theirs for c in j.person.keys], at)
    await suppressions.forget(conn, going, {d for _, d in own})
