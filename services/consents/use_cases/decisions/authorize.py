"""What a party may decide, and what a *yes* has to fulfil.

A party's token must not tell a stranger from another company's customer: nothing here answers differently for the two.
"""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from kielto.events.party import Party
from kielto.events.words import Reach
from services.consents.model.check import DecisionError
from services.consents.model.decisions import Actor
from services.consents.model.scope import Scope
from services.consents.store.permissions.state import LoadedState
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.command import Command, ForbiddenError, NotKnownYetError
from services.consents.use_cases.permissions.evaluate_people import PersonPermissions, evaluate_people
from services.consents.use_cases.permissions.publish_records import speaks_of

AHEAD = timedelta(minutes=5)
"""How far the clock of whoever brings a *yes* may run ahead of ours."""


def authorize(command: Command, scope: Scope) -> None:
    """A company says yes for its own marketing alone; a person's *no* goes as far as the person says.

    At a desk that limits who else says no, too. On a topic a *no* is taken: nobody can be asked. Raises ForbiddenError.
    """
    if command.party is None:
        return
    party = Party(command.party)
    if command.subject.company not in (None, party.id):
        raise ForbiddenError("subject: must be a customer of the company that acts")
    if command.is_no and (command.by_topic or command.by in (Actor.PERSON, Actor.AGENT)):
        return
    if not party.is_company or scope.reach is Reach.GROUP or scope.company != party.id:
        raise ForbiddenError("reach: must stay within the company that acts, except for a no by the person")


def check_yes(context: Context, command: Command, scope: Scope, found: LoadedState) -> None:
    """First whether the subject is known: the rest may depend on it. Raises NotKnownYetError, DecisionError."""
    if not _knows(command, found):
        whose = "known to us" if command.party is None else "a customer of the company that acts"
        raise NotKnownYetError("subject", f"must be {whose}, for a yes")
    if command.said_at > command.received_at + AHEAD:
        raise DecisionError("said_at", "must not be in the future, for a yes")
    companies = (c for c in context.group.companies if scope.company in (None, c.id))
    groups = {group for c in companies for group in c.product_groups}
    if not groups.issuperset(command.product_groups):
        raise DecisionError("product_groups", "must be product groups of the company")


def cited(context: Context, command: Command, found: LoadedState) -> frozenset[UUID]:
    """The restrictions that a *yes* cites. Raises DecisionError for one that does not bear on the subject.

    A yes on a party's topic may have overtaken what it lifts: there the party's own ids are taken as they are.
    """
    if command.is_no:
        return frozenset(lift for lift in command.lifts if isinstance(lift, UUID))
    known = _citable(context, command, found) if command.lifts else set()
    references = {context.keys.pairwise(command.party, i): i for i in known} if command.party else {}
    idents = set()
    for lift in command.lifts:
        ident = references.get(lift) if isinstance(lift, str) else lift
        if ident is None or (ident not in known and not command.by_topic):
            raise DecisionError("lifts", "must be restrictions that bind the subject")
        idents.add(ident)
    return frozenset(idents)


def _citable(context: Context, command: Command, found: LoadedState) -> set[UUID]:
    """A party may cite only what bears on its own customer as it sees them: to it, another company's restriction and
    one that nobody ever gave are the same.
    """
    if command.party is None:
        return {d.id for said in found.decisions.values() for d in said if d.is_no}
    party = Party(command.party)
    return {
        d.id
        for person in _named(context, party, found)
        for d in person.decisions
        if d.id in person.at(party.id).nos and speaks_of(d, party, context.facts)
    }


def _named(context: Context, party: Party, found: LoadedState) -> Iterator[PersonPermissions]:
    """The party's own customers whom the subject names."""
    for one in evaluate_people(context, found):
        keys = one.person.keys
        if not found.named.isdisjoint(keys) and any(party in found.keys[key] for key in keys):
            yield one


def _knows(command: Command, found: LoadedState) -> bool:
    named = [found.customers[c] for c in found.named if c in found.customers]
    if command.party is None:
        return bool(named)
    ref, company = command.subject.ref, Party(command.party).id
    return any(
        command.party in found.keys[c.id]
        and (not ref.is_point or any(p.ref == ref.encrypted for p in c.points_of(company)))
        for c in named
    )
