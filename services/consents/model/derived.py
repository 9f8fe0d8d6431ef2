"""What follows from permissions: restrictions in force, a partner's view, whether a change is published first."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar
from uuid import UUID

from kielto.events.words import PARTNERS_PURPOSES, Act, Channel, Mode, Purpose, Reach
from services.consents.model.applicable import ApplicableDecision, ApplicableDecisions
from services.consents.model.coverage import both
from services.consents.model.decisions import RecordedDecision
from services.consents.model.ruling import NO_GROUPS, CellPermission, Groups, RulingReason

Key = TypeVar("Key")


def in_force(applicable: ApplicableDecisions) -> Iterator[ApplicableDecision]:
    """The restrictions that are not lifted, at each of their purposes and channels, by yeses that reach as far."""
    return (no for no, cited_by in applicable.restrictions if not _wholly_lifted(no, cited_by))


def _wholly_lifted(no: ApplicableDecision, cited_by: tuple[ApplicableDecision, ...]) -> bool:
    wide = [y.decision for y in cited_by if _as_wide(y, no)]
    return bool(wide) and all(
        any(channel in y.channels and _lifts_purpose(y, no.decision, purpose) for y in wide)
        for purpose in no.decision.purposes or Purpose
        for channel in no.decision.channels or Channel
    )


def _as_wide(yes: ApplicableDecision, no: ApplicableDecision) -> bool:
    """Whether the yes reaches each company, partner, product group and point that the no does."""
    if yes.at is not None and not (no.at and no.at <= yes.at):
        return False
    return not yes.decision.product_groups and _reaches_as_far(yes.decision, no.decision)


def _reaches_as_far(yes: RecordedDecision, no: RecordedDecision) -> bool:
    if yes.reach is Reach.GROUP:
        return True
    if yes.reach is Reach.COMPANY:
        return no.reach is not Reach.GROUP and no.company == yes.company
    same_company = yes.company in (None, no.company)
    if yes.reach is Reach.PARTNERS:
        return no.reach in (Reach.PARTNERS, Reach.PARTNER) and same_company
    return no.reach is Reach.PARTNER and no.partner == yes.partner and same_company


def _lifts_purpose(yes: RecordedDecision, no: RecordedDecision, purpose: Purpose) -> bool:
    """A consent speaks of partners' marketing only where it names the partner (`coverage.covers`)."""
    of_partners = purpose in PARTNERS_PURPOSES or no.reach in (Reach.PARTNER, Reach.PARTNERS)
    unnamed = yes.act is Act.CONSENT and yes.reach is not Reach.PARTNER
    return purpose in yes.purposes and not (of_partners and unnamed)


def partner_view(
    cells: Iterable[CellPermission], partner: str, disclosed_to: frozenset[tuple[str, str]]
) -> tuple[CellPermission, ...]:
    """What the partner may do with a person who was disclosed to it: one permission for each contact point and channel.

    `disclosed_to`: (company, partner) of each disclosure; none, no permissions. Where several companies disclosed, each
    has to allow: the partner's record does not tell from which company it has the data.
    """
    found: dict[tuple[UUID, Channel], CellPermission] = {}
    for permission in cells:
        cell = permission.cell
        its = cell.mode is Mode.PARTNER_SENDS and cell.partner == partner
        if not its or (cell.company, partner) not in disclosed_to:
            continue
        place = (cell.point, cell.channel)
        found[place] = _stricter(found[place], permission) if place in found else permission
    return tuple(found.values())


def _stricter(one: CellPermission, other: CellPermission) -> CellPermission:
    if not one.ruling.allowed:
        return one
    groups = both(one.ruling.product_groups, other.ruling.product_groups)
    if not other.ruling.allowed or groups == other.ruling.product_groups:
        return other
    if groups is None or groups:
        return one._replace(ruling=one.ruling._replace(product_groups=groups))
    none_left = one.ruling._replace(allowed=False, product_groups=NO_GROUPS, reason=RulingReason.NO_CONSENT)
    return one._replace(ruling=none_left)


def takes_away(old: Mapping[Key, Groups], new: Mapping[Key, Groups]) -> bool:
    """Whether anything that was allowed no longer is. Such a change is published on the express lane."""
    return any(key not in new or both(groups, new[key]) != groups for key, groups in old.items())
