"""After a restore, take in restrictions that our own topics list and the database lacks.

What was said is lost; what followed is not. Each becomes a *no* of its own that denies the customer whatever the newest
record that listed it did not allow, until a yes that cites it covers it.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from kielto.events.envelope import Read, Unreadable
from kielto.events.records import CustomerPermissions
from kielto.events.words import Act, Reach
from kielto.service.database import epoch as epochs
from kielto.service.database.pool import Conn, in_transaction
from services.consents.model.decisions import Actor, CustomerSubject, RecordedDecision, Route
from services.consents.model.ref import Ref
from services.consents.store.decisions import decisions, restored
from services.consents.store.decisions.restored import Listed
from services.consents.store.permissions import locks
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.apply_facts import compute_anew

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:kielto:unreadable")
_CHUNK = 100
_ATTEMPTS = 1000
"""Attempts of one chunk: consumers run meanwhile, so the people concerned may change often."""


class ListedRestrictions(NamedTuple):
    """The restrictions that a customer's record lists. `allowed`: its `companies` as JSON."""

    restrictions: tuple[UUID, ...]
    allowed: str
    at: datetime | None
    """When the record was changed; None: unknown."""


def listed_in(read: Any) -> ListedRestrictions | None:
    """The restrictions of a record. One that cannot be read may list any: it is taken for a *no* to everything."""
    match read:
        case Read(event=CustomerPermissions() as record) if record.restrictions:
            companies = [c.model_dump(mode="json", exclude_defaults=True) for c in record.companies]
            return ListedRestrictions(
                record.restrictions, orjson.dumps(companies).decode(), record.changed_at
            )
        case Unreadable(key=key, version=version) if key is not None and version is not None:
            return ListedRestrictions((uuid5(_NAMESPACE, f"{key}/{version}"),), "[]", None)
    return None


async def restore(context: Context, listed: Mapping[str, ListedRestrictions], epoch: int) -> None:
    """Take in what the records list, by customer id, in chunks of one transaction each. Known ones are skipped."""
    left = iter(sorted(listed.items()))
    while chunk := {UUID(key): found for key, found in islice(left, _CHUNK)}:
        await in_transaction(
            context.pool,
            partial(_take, context=context, kept=chunk),
            retry_on=(locks.SubjectsMovedError,),
            attempts=_ATTEMPTS,
        )
    await in_transaction(context.pool, lambda conn: restored.ask_proof_anew(conn, epoch))


async def _take(conn: Conn, context: Context, kept: Mapping[UUID, ListedRestrictions]) -> None:
    await epochs.commit_while_closed(conn)
    locked = await locks.for_facts(conn, list(kept))
    listed = [Listed(ident, c, found.allowed) for c, found in kept.items() for ident in found.restrictions]
    lacking = await restored.lacking(conn, listed)
    if not lacking:
        return
    now = context.clock()
    new = {row.decision: kept[row.customer].at or now for row, unknown in lacking if unknown}
    for ident, at in new.items():
        await decisions.add(conn, _stored(ident, at), ())
    await restored.add(conn, [row for row, _ in lacking])
    await compute_anew(conn, context, locked)


def _stored(ident: UUID, at: datetime) -> decisions.StoredDecision:
    """A restriction whose decision is lost, as a group-wide *no*: its words, party and route are unknown."""
    decision = RecordedDecision(
        id=ident,
        subject=CustomerSubject(ident),
        act=Act.BAN,
        reach=Reach.GROUP,
        company=None,
        partner=None,
        purposes=frozenset(),
        channels=frozenset(),
        by=Actor.IMPORT,
        route=Route.IMPORT,
        said_at=at,
        received_at=at,
        effective_from=at,
    )
    return decisions.StoredDecision(
        decision, ref=Ref.restored(ident), subject_kind="customer", party=None, recorded_by="restore"
    )
