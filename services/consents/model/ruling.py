"""What a permission is asked for (`Cell`) and the answer (`Ruling`): allowed or not, and why."""

from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from kielto.events.words import Channel, Mode, Purpose
from services.consents.model.facts import SaleFacts

Groups = frozenset[str] | None
"""Product groups; None is all of them."""
NO_GROUPS: frozenset[str] = frozenset()


class Cell(NamedTuple):
    """What a permission is asked for. `partner` and `mode` go with partner marketing."""

    company: str
    point: UUID
    channel: Channel
    purpose: Purpose
    partner: str | None = None
    mode: Mode | None = None


class RulingReason(StrEnum):
    NOT_BANNED = "not_banned"
    """Allowed until banned, and nobody has."""
    CONSENT = "consent"
    SALE = "sale"
    """The soft opt-in (917/2014 section 200(3))."""
    FACT = "fact"
    NEVER = "never"
    """A row of the table says none."""
    RESTRICTED = "restricted"
    NO_CONSENT = "no_consent"


class Ruling(NamedTuple):
    """Whether marketing is allowed at a cell, and why.

    `product_groups`: what it holds for, None is all; empty when denied.
    `rule`, `section`: the entry of rules.toml that decided.
    `decisions`: the restrictions that deny; or the consents that allow and the yeses that lifted.
    """

    allowed: bool
    product_groups: Groups
    reason: RulingReason
    rule: str
    section: str
    decisions: tuple[UUID, ...] = ()
    sales: tuple[SaleFacts, ...] = ()


class CellPermission(NamedTuple):
    """The permission at one cell, explained."""

    cell: Cell
    ruling: Ruling
