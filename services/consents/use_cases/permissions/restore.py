"""After a restore: restrictions that our own topics list and the database lacks are taken in again.

What was said is lost; what followed is not. Each becomes a *no* of its own that denies the customer whatever the newest
record that listed it did not allow, until a yes that cites it covers it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

import orjson

from kielto.events.envelope import Read, Unreadable
from kielto.events.records import CustomerPermissions
from kielto.events.words import Act, Reach
from kielto.service.database import epoch
from kielto.service.database.pool import Conn, Pool, transaction
from services.consents.model.decisions import Actor, CustomerSubject, RecordedDecision, Route
from services.consents.store.decisions import decisions, restored
from services.consents.store.decisions.decisions import StoredDecision
from services.consents.store.decisions.restored import Listed
from services.consents.store.permissions import locks
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.apply_facts import compute_anew

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:kielto:unreadable")
_CHUNK = 100


class ListedRestrictions(NamedTuple):
    """Of a customer's record that lists restrictions. `allowed`: its `companies` as JSON."""

    restrictions: tuple[UUID, ...]
    allowed: str
    at: datetime


def keep(read: Any) -> ListedRestrictions | None:
    """One that cannot be read may list anything: it is taken for a *no* to everything."""
    match read:
        case Read(event=CustomerPermissions() as record) if record.restrictions:
            companies = [c.model_dump(mode="json", exclude_defaults=True) for c in record.companies]
            at = record.changed_at or datetime.now(UTC)
            return ListedRestrictions(record.restrictions, orjson.dumps(companies).decode(), at)
        case Unreadable(key=key, version=version) if key is not None and version is not None:
            return ListedRestrictions((uuid5(_NAMESPACE, f"{key}/{version}"),), "[]", datetime.now(UTC))
    return None


async def take_back(pool: Pool, context: Context, kept: Mapping[str, ListedRestrictions], epoch: int) -> None:
    """By customer id. Each chunk is a transaction, and what is known already is passed over, so it may be repeated."""
    left = iter(sorted(kept.items()))
    while chunk := {UUID(key): found for key, found in islice(left, _CHUNK)}:
        await _committed(pool, context, chunk)
    async with transaction(pool) as conn:
        await restored.ask_proof_anew(conn, epoch)


async def _committed(pool: Pool, context: Context, kept: Mapping[UUID, ListedRestrictions]) -> None:
    """Begun again as often as those concerned change: consumers are at work."""
    while True:
        try:
            async with transaction(pool) as conn:
                await epoch.commit_while_closed(conn)
                await _take(conn, context, kept)
                return
        except locks.SubjectsMovedError:
            continue


async def _take(conn: Conn, context: Context, kept: Mapping[UUID, ListedRestrictions]) -> None:
    locked = await locks.for_facts(conn, list(kept))
    listed = [Listed(ident, c, found.allowed) for c, found in kept.items() for ident in found.restrictions]
    lacking = await restored.lacking(conn, listed)
    if not lacking:
        return
    new = {row.decision: kept[row.customer].at for row, unknown in lacking if unknown}
    for ident, at in new.items():
        await decisions.add(conn, _stored(ident, at), ())
    await restored.add(conn, [row for row, _ in lacking])
    await compute_anew(conn, context, locked)


def _stored(ident: UUID, at: datetime) -> StoredDecision:
    """Nobody knows any more what was said, by whom or on which way."""
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
    return StoredDecision(decision, f"r:{ident}", "customer", None, "restore")
