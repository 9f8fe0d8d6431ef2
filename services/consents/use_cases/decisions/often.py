"""Limit how many decisions of one party about one subject are kept: everybody who computes that subject reads all of
them.

Beyond the limit a *yes* is refused. A *no* never is: if the party has said as much before, and nobody lifted that, it
repeats that decision; any other is read as widely as its reach.
"""

from datetime import UTC, datetime, timedelta

from kielto.events.words import Act
from kielto.service.database.pool import Conn
from kielto.service.support.limits import FIXED
from services.consents.model.check import DecisionError
from services.consents.model.decisions import RecordedDecision
from services.consents.model.scope import widen_wholly
from services.consents.store.decisions import decisions
from services.consents.store.permissions.state import LoadedState

MOST = FIXED.subject_decisions
SAME = 20
"""So many *no*s may say the same: each is work for everybody whom it is about. Who they are, or how many, plays no
part, or a party would learn how many customers of others have an address.
"""
_EVER, _DAY = datetime(1900, 1, 1, tzinfo=UTC), timedelta(days=1)


async def once_more(
    conn: Conn, about: tuple[str, str | None], decision: RecordedDecision, found: LoadedState, *, many: bool
) -> tuple[RecordedDecision, RecordedDecision | None]:
    """The decision as it is taken, and the earlier one that says as much (None: none). `about`: the subject's ref, and
    the party; the group's own desks have no limit. `many`: `found` is not all. Raises DecisionError for a yes.
    """
    ref, party = about
    seen = sum(map(len, found.decisions.values()))
    if party is None or (found.hit and not many and seen < SAME):
        return decision, None
    since = _EVER if decision.is_no else decision.received_at - _DAY
    acts = [act for act in Act if act.restricts is decision.is_no]
    count = await decisions.count_about(conn, ref, party, acts, since, MOST)
    if count < (SAME if decision.is_no else MOST):
        return decision, None
    if not decision.is_no:
        raise DecisionError(
            "subject", f"must have at most {MOST} yeses by a party in a day: try again tomorrow"
        )
    known = await decisions.that_says(conn, ref, party, decision)
    if known is None and count >= MOST:
        decision = widen_wholly(decision)
        known = await decisions.that_says(conn, ref, party, decision)
    return decision, known
