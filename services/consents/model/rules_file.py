"""The shape of rules.toml: a misspelt word, an unknown or missing field is an error, never a default."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from kielto.events.words import Act, Channel, Mode, Purpose, Reach, Recipient
from services.consents.model.decisions import Route


class Rule(StrEnum):
    """What a row of the table says; `rules.toml` defines each."""

    OPT_OUT = "opt_out"
    SOFT_OPT_IN = "soft_opt_in"
    OPT_IN = "opt_in"
    NONE = "none"


class Who(StrEnum):
    """Recipients as the table distinguishes them. A contact person has two rows: within and outside of their duties."""

    NATURAL = Recipient.NATURAL
    CONTACT_DUTIES = "contact_duties"
    CONTACT_PRIVATE = "contact_private"
    LEGAL = Recipient.LEGAL
    USER = Recipient.USER


class Relation(StrEnum):
    CUSTOMER = "customer"
    PROSPECT = "prospect"


class Fact(StrEnum):
    """Facts that deny before any row is asked."""

    ERASED = "erased"
    SURVIVOR_UNKNOWN = "survivor_unknown"
    DECEASED = "deceased"
    MINOR = "minor"
    SAFETY_BAN = "safety_ban"


class Judgement(StrEnum):
    """The (J) switches: each changes what is allowed, so each carries who approved it and why."""

    MARKETING_TO_PROSPECTS = "marketing_to_prospects"
    GROUP_IS_SAME_SELLER = "group_is_same_seller"
    ORGANISATION_BINDS_CONTACTS = "organisation_binds_contacts"
    PARTNER_MESSAGES_WITHIN_DUTIES = "partner_messages_within_duties"
    PERSONAL_ADDRESS_IS_NATURAL = "personal_address_is_natural"
    POINT_MAY_CONSENT = "point_may_consent"
    PLUS_ADDRESS_IS_MAILBOX = "plus_address_is_mailbox"


def _all_channels(value: object) -> object:
    return list(Channel) if value == "all" else value


Channels = Annotated[frozenset[Channel], BeforeValidator(_all_channels)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Switch(_Entry):
    name: Judgement
    question: str
    default: bool
    value: bool
    section: str
    approver: str
    reason: str
    date: date


class BlockRow(_Entry):
    id: str
    fact: Fact
    channels: Channels
    section: str
    says: str


class TableRow(_Entry):
    """A row of the table. `modes` goes with partner marketing; purpose `any` is own and partner, any mode."""

    id: str
    who: frozenset[Who]
    relation: frozenset[Relation]
    purpose: Literal["own_marketing", "partner_marketing", "any"]
    modes: frozenset[Mode] = frozenset()
    channels: Channels
    rule: Rule
    only_if: Judgement | None = None
    otherwise: Rule | None = None
    section: str
    says: str

    @model_validator(mode="after")
    def _whole(self) -> "TableRow":
        if bool(self.modes) != (self.purpose == "partner_marketing"):
            raise ValueError("modes: must be given for purpose partner_marketing, and only then")
        if (self.only_if is None) != (self.otherwise is None):
            raise ValueError("only_if, otherwise: both or neither must be given")
        return self

    def answers(
        self, who: Who, relation: Relation, purpose: Purpose, mode: Mode | None, channel: Channel
    ) -> bool:
        if who not in self.who or relation not in self.relation or channel not in self.channels:
            return False
        return self.purpose == "any" or (self.purpose == purpose and (mode is None or mode in self.modes))


class ActRow(_Entry):
    act: Act
    reach: Literal["by_route", "none"] | Reach
    purposes: frozenset[Purpose]
    section: str
    says: str


class RouteRow(_Entry):
    route: Route
    reach: Reach
    channels: Channels
    may_say_yes: bool
    says: str


class RulesFile(_Entry):
    switch: tuple[Switch, ...]
    block: tuple[BlockRow, ...]
    row: tuple[TableRow, ...]
    act: tuple[ActRow, ...]
    route: tuple[RouteRow, ...]
