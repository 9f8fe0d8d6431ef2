"""Which cells a decision is about, and which product groups restrictions and liftings leave there."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from kielto.events.words import Act, Mode, Purpose, Reach
from services.consents.model.applicable import ApplicableDecision, Restriction
from services.consents.model.decisions import RecordedDecision
from services.consents.model.ruling import NO_GROUPS, Cell, Groups


class Limit(NamedTuple):
    """What restrictions leave at a cell: the product groups, the decisions that still deny, the yeses that lifted."""

    groups: Groups
    denying: tuple[RecordedDecision, ...]
    lifted_by: tuple[UUID, ...]


_PURPOSES_OF: dict[Mode | None, tuple[Purpose, ...]] = {
    None: (Purpose.OWN_MARKETING,),
    Mode.WE_SEND: (Purpose.PARTNER_MARKETING,),
    Mode.PARTNER_SENDS: (Purpose.PARTNER_MARKETING, Purpose.DISCLOSURE),
}

UNLIMITED = Limit(None, (), ())


def both(one: Groups, other: Groups) -> Groups:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def either(parts: Iterable[Groups]) -> Groups:
    found = NO_GROUPS
    for part in parts:
        if part is None:
            return None
        found |= part
    return found


def groups_of(yes: RecordedDecision) -> Groups:
    """The product groups of a *yes*; all when it names none."""
    return yes.product_groups or None


def purposes_of(cell: Cell) -> tuple[Purpose, ...]:
    """The purposes that must be allowed at the cell; where the partner sends, the disclosure too."""
    return _PURPOSES_OF[cell.mode]


def denies(no: ApplicableDecision, cell: Cell) -> bool:
    """Whether this *no* is about the cell, lifted or not. An empty set in a *no* means everything."""
    decision = no.decision
    return (
        (not decision.channels or cell.channel in decision.channels)
        and (no.at is None or cell.point in no.at)
        and (not decision.purposes or not decision.purposes.isdisjoint(purposes_of(cell)))
        and decision.reaches(cell.company, cell.partner)
        and spared(decision, cell) is not None
    )


def spared(no: RecordedDecision, cell: Cell) -> Groups:
    """For which groups a restored *no* denies nothing: those that the record which listed it allowed."""
    return no.spared.get(cell, NO_GROUPS) if no.spared is not None else NO_GROUPS


def covers(yes: ApplicableDecision, cell: Cell, purpose: Purpose) -> bool:
    """Whether this *yes* is about the cell and purpose. A consent is only about the partner that it names."""
    decision = yes.decision
    return (
        cell.channel in decision.channels
        and purpose in decision.purposes
        and (yes.at is None or cell.point in yes.at)
        and decision.reaches(cell.company, cell.partner)
        and (cell.partner is None or decision.act is not Act.CONSENT or decision.reach is Reach.PARTNER)
    )


def limit(restrictions: Iterable[Restriction], cell: Cell) -> Limit:
    """What these restrictions leave at the cell. A yes lifts only what it cites, and only where it covers the cell."""
    groups: Groups = None
    denying: list[RecordedDecision] = []
    lifted_by: list[UUID] = []
    for no, cited_by in restrictions:
        lifted, by = _lifted(no, cited_by, cell) if cited_by else (NO_GROUPS, ())
        lifted = either((lifted, spared(no.decision, cell)))
        groups = both(groups, lifted)
        lifted_by += by
        if lifted is not None:
            denying.append(no.decision)
    return Limit(groups, tuple(denying), tuple(lifted_by))


def _lifted(
    no: ApplicableDecision, cited_by: tuple[ApplicableDecision, ...], cell: Cell
) -> tuple[Groups, Sequence[UUID]]:
    """For which groups it is lifted at the cell: for every purpose of the cell that it denies."""
    groups: Groups = None
    by: list[UUID] = []
    for purpose in purposes_of(cell):
        if not no.decision.purposes or purpose in no.decision.purposes:
            lifting = [y.decision for y in cited_by if covers(y, cell, purpose)]
            groups = both(groups, either(groups_of(y) for y in lifting))
            by += [y.id for y in lifting]
    return groups, by


class Consent(NamedTuple):
    """What consents allow at a cell: the groups, of them those named, and the consents themselves."""

    groups: Groups
    named: frozenset[str]
    given_by: tuple[UUID, ...]


NO_CONSENT = Consent(NO_GROUPS, NO_GROUPS, ())


def consented(consents: tuple[ApplicableDecision, ...], cell: Cell) -> Consent:
    """The consent at a cell. Each of its purposes must be consented to; several consents may do so together."""
    if not consents:
        return NO_CONSENT
    groups: Groups = None
    named: Groups = None
    ids: list[UUID] = []
    for purpose in purposes_of(cell):
        given = [h.decision for h in consents if covers(h, cell, purpose)]
        groups = both(groups, either(groups_of(d) for d in given))
        named = both(named, either(d.product_groups for d in given))
        ids += [d.id for d in given]
    return Consent(groups, named or NO_GROUPS, tuple(ids))
