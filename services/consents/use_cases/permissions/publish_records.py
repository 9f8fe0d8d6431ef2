"""Write the records of everyone concerned, and note which decisions each record shows."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from kielto.events.party import Party
from kielto.events.records import Permissions, Record
from kielto.events.topics import CONSENTS
from kielto.events.versions import Version
from kielto.events.words import Status
from kielto.service.database.pool import Conn
from kielto.service.outbox import publish
from kielto.service.support import tracing
from kielto.service.support.yielding import in_turns
from services.consents.model.decisions import RecordedDecision
from services.consents.model.derived import takes_away
from services.consents.model.facts import GroupFacts
from services.consents.store.decisions.decisions import ShownBy
from services.consents.store.permissions.state import LoadedState, Published
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.build_records import PersonRecords, flat
from services.consents.use_cases.permissions.evaluate_people import PersonPermissions


class Written(NamedTuple):
    """A record as it stands now, written anew or found unchanged (`held`)."""

    permissions: PersonPermissions
    customer: UUID
    family: str
    key: str
    version: Version
    held: bool


async def republish(
    conn: Conn,
    context: Context,
    state: LoadedState,
    people: list[PersonPermissions],
    at: datetime,
    *,
    because: RecordedDecision | None = None,
) -> list[Written]:
    """Write the records of these people in every family that has or must have one. One round trip, however many stay
    the same: a company does not learn from the time whether its decision had others' records computed.
    """
    ours = {CONSENTS.name, *context.group.parties}
    changes: list[publish.RecordChange] = []
    written: list[tuple[PersonPermissions, UUID]] = []
    async for one in in_turns(people):
        records = PersonRecords(one, context.keys, at, because)
        restrictions = one.listed
        for customer in one.customers:
            for family, key in state.keys[customer.id].items():
                here = family in ours
                record = records.of(customer, family, key, gone=not here)
                internal = family == CONSENTS.name
                held = restrictions if internal and record.status is not Status.ERASED else ()
                before = state.published.get((family, key))
                hurry = _hurries(record, held, before, restricted=_restricted(one, family, context.facts))
                reason = because.id if because else None
                changes.append(publish.RecordChange(family, key, record, hurry, held, reason, marked=here))
                written.append((one, customer.id))
    known = {place: published.version for place, published in state.published.items()}
    versions = await publish.publish(conn, changes, traceparent=tracing.current(), before=known)
    return [
        Written(one, customer, *place, version, held=known.get(place) == version)
        for (one, customer), change, version in zip(written, changes, versions, strict=True)
        for place in [(change.family, change.key)]
        if change.marked
    ]


def bearing(written: list[Written], decision: RecordedDecision, group: GroupFacts) -> list[ShownBy]:
    """The records that show the decision, changed or not."""
    return [
        ShownBy(
            decision.id, w.family, w.key, w.version, w.held, by_link=decision.id not in w.permissions.direct
        )
        for w in written
        if _bears_on(w, decision) and speaks_of(w.permissions.said(decision), w.family, group)
    ]


def _bears_on(written: Written, decision: RecordedDecision) -> bool:
    """Whether a company's record shows the decision: it must be about the company's own view of the person."""
    party, permissions = Party(written.family), written.permissions
    if decision.id in permissions.by_link:
        return True
    return decision.id in (permissions.at(party.id) if party.is_company else permissions).direct


def _restricted(permissions: PersonPermissions, family: str, group: GroupFacts) -> bool:
    """Whether a restriction in force takes something from the party, as it sees the person: the lane of its record must
    not reveal what others were told.
    """
    party = Party(family)
    in_force = (permissions.at(party.id) if party.is_company else permissions).restrictions
    return any(said.id in in_force and speaks_of(said, family, group) for said in permissions.decisions)


def _hurries(
    record: Record, restrictions: tuple[UUID, ...], before: Published | None, *, restricted: bool
) -> bool:
    """Whether the record goes by the express lane: it takes away a permission, the record itself, or freedom from a
    restriction.

    It also does when somebody `restricted` has a new address: others have it, too, and all of them have to allow.
    """
    if record.status is Status.ERASED:
        return True
    listed = {at.point for at in record.points} if isinstance(record, Permissions) else set()
    if restricted and listed - {at["point"] for at in (before.body.get("points", ()) if before else ())}:
        return True
    held = before.body.get("restrictions", ()) if before else ()
    if set(map(str, restrictions)) - set(held):
        return True
    if before is None:
        return False
    now = orjson.loads(record.model_dump_json(exclude_defaults=True))
    return takes_away(flat(before.body), flat(now))


def speaks_of(decision: RecordedDecision, family: str, group: GroupFacts) -> bool:
    """Whether the decision is about what the party may do; our own record is about everybody."""
    if family == CONSENTS.name:
        return True
    party = Party(family)
    if party.is_company:
        partners = (None, *group.partners_of(party.id))
        return party.id in group.companies and any(decision.reaches(party.id, p) for p in partners)
    return any(decision.reaches(c, party.id) for c in group.companies if group.works_for(party.id, c))
