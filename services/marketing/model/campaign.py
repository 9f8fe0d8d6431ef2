"""A campaign: what it wants to say to whom, its states, and what makes one impossible."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from kielto.errors import KieltoError
from kielto.events.party import Party
from kielto.events.words import Channel, Mode, Purpose
from kielto.group import Group
from kielto.validation import FieldRule


class CampaignState(StrEnum):
    """open -> launching -> launched; each of them -> closed. Nothing leads back."""

    OPEN = "open"
    LAUNCHING = "launching"
    LAUNCHED = "launched"
    CLOSED = "closed"


class StateConflictError(KieltoError):
    """The campaign's state does not let this happen. The message says which."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What exactly a recipient must permit, word for word. `None` matches only what names none."""

    company: str
    purpose: Purpose
    channel: Channel
    product_group: str | None = None
    partner: str | None = None
    mode: Mode | None = None

    @property
    def party(self) -> Party:
        """Who sends, and so whose topic and ids the audience has: the company, or the partner."""
        if self.discloses and self.partner is not None:
            return Party.partner(self.partner)
        return Party.company(self.company)

    @property
    def discloses(self) -> bool:
        """Whether addressing people hands their data to a partner: a disclosure (GDPR 4(9), 15(1)(c))."""
        return self.mode is Mode.PARTNER_SENDS


@dataclass(frozen=True, slots=True)
class Campaign:
    id: UUID
    name: str
    aim: Aim
    state: CampaignState
    created_at: datetime
    launched_at: datetime | None = None
    closed_at: datetime | None = None
    candidates: int = 0
    """The company's people when the launch was asked for; `seen` of them have been looked at."""
    seen: int = 0
    cursor: UUID | None = None
    """The last person looked at. The walk goes by ascending id and never turns back."""
    waiting_for: str | None = None
    """What a launch waits for before it looks at anybody."""
    caught_up: bool = False
    """Whether the launch has waited for what was registered before it."""


class ListedPerson(NamedTuple):
    """A person in a campaign's list. `standing` is false when every address was recalled."""

    customer: UUID
    standing: bool


class PeopleCounts(NamedTuple):
    """People, not addresses; a person is recalled when no address of theirs stands."""

    addressed: int
    recalled: int
    delivered: int
    responded: int


def faults(aim: Aim, group: Group) -> list[FieldRule]:
    """Everything that is wrong with the aim in this group; empty when nothing is."""
    if aim.company not in group.company_ids:
        return [FieldRule("company", "must be a company of the group")]
    found = []
    if aim.product_group is not None and aim.product_group not in group.company(aim.company).product_groups:
        found.append(FieldRule("product_group", "must be a product group of the company"))
    match aim.purpose:
        case Purpose.OWN_MARKETING:
            # 917/2014 section 200(3): soft opt-in holds for one product group: a campaign says which.
            if aim.product_group is None:
                found.append(FieldRule("product_group", "is required for own_marketing"))
            if aim.partner is not None:
                found.append(FieldRule("partner", "must be absent unless purpose is partner_marketing"))
            if aim.mode is not None:
                found.append(FieldRule("mode", "must be absent unless purpose is partner_marketing"))
        case Purpose.PARTNER_MARKETING:
            if aim.partner not in group.partners_of(aim.company):
                found.append(FieldRule("partner", "must be a partner of the company"))
            if aim.mode is None:
                found.append(FieldRule("mode", "is required for partner_marketing: we_send or partner_sends"))
        case _:
            found.append(FieldRule("purpose", "must be own_marketing or partner_marketing"))
    return found


def launch(state: CampaignState) -> CampaignState:
    """The state after a launch is asked for. Asked again it changes nothing. Raises StateConflictError."""
    if state is CampaignState.CLOSED:
        raise StateConflictError("the campaign is closed")
    return CampaignState.LAUNCHING if state is CampaignState.OPEN else state
