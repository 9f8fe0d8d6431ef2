"""The bodies of clearance requests and answers."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    FailFast,
    Field,
    StringConstraints,
    model_validator,
)

from kielto.events.base import Hash, Ident, Moment
from kielto.events.words import Channel, Mode, Purpose
from kielto.service.support.limits import FIXED
from services.consents.model.clearance import ClearanceReason
from services.consents.use_cases.clearances.search import ClearanceEvidence


def _plain(text: str) -> str:
    """One spelling for the id of a marketing campaign, so that its deliveries find what cleared them."""
    try:
        return str(UUID(text))
    except ValueError:
        return text


Campaign = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$"), AfterValidator(_plain)
]
"""The sender's own name of it, or the id of marketing's campaign: only by the latter are deliveries held against it."""


class GivenRecipient(BaseModel):
    """As the subscribers' gate is asked: `customer` (the company's id) or `number`, and the very `address` to be used.

    An address alone means everybody of the company who has it; each has to permit it. For channels whose addresses
    have no normal form (post, door) the address is the point itself and needs `customer` or `number`.
    """

    model_config = ConfigDict(extra="forbid")

    customer: Hash | None = None
    number: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    address: Annotated[str, StringConstraints(min_length=1, max_length=320)] | None = None

    @model_validator(mode="after")
    def _named(self) -> "GivenRecipient":
        if self.customer is not None and self.number is not None:
            raise ValueError("customer, number: at most one may be given")
        if self.customer is None and self.number is None and self.address is None:
            raise ValueError("customer, number, address: at least one must be given")
        return self


class GivenClearance(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "campaign": "spring-2026",
                    "purpose": "own_marketing",
                    "channel": "email",
                    "product_group": "groceries",
                    "recipients": [{"number": "1001", "address": "aino@example.com"}],
                }
            ]
        },
    )

    campaign: Campaign
    purpose: Purpose
    channel: Channel
    partner: Ident | None = None
    mode: Mode | None = None
    product_group: Ident | None = None
    # The first that has no shape ends it: to tell of all would take seconds, in which nobody else is answered.
    recipients: Annotated[list[GivenRecipient], FailFast()] = Field(
        min_length=1, max_length=FIXED.clearance_recipients
    )

    @model_validator(mode="after")
    def _partners(self) -> "GivenClearance":
        named = (self.partner is not None, self.mode is not None)
        if named != (self.purpose is Purpose.PARTNER_MARKETING,) * 2:
            raise ValueError("partner, mode: must both be given for partner_marketing, and only then")
        return self


class ResultBody(BaseModel):
    allowed: bool
    reason: ClearanceReason = Field(
        description="`allowed`; `denied`; `unknown`: no customer of the company's."
    )


class ClearanceBody(BaseModel):
    id: UUID
    valid_seconds: float = Field(description="Counted from when the request was SENT, by the sender's clock.")
    results: list[ResultBody] = Field(description="In the order of the recipients.")


class GivenSearch(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "campaign": "spring-2026",
                    "channel": "email",
                    "at": "2026-03-02T10:00:00Z",
                    "recipient": {"number": "1001"},
                }
            ]
        },
    )

    company: Ident | None = Field(default=None, description="If not the token's own.")
    campaign: Campaign
    channel: Channel
    at: Moment = Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))
    recipient: GivenRecipient


class ShownBody(BaseModel):
    clearance: UUID
    asked_by: str
    purpose: Purpose
    channel: Channel
    partner: str | None
    mode: Mode | None
    product_group: str | None
    at: datetime
    valid_until: datetime
    allowed: bool
    reason: ClearanceReason
    record: ClearanceEvidence | None


class FoundBody(BaseModel):
    allowed: bool = Field(description="Whether a clearance that was valid at the time allowed it.")
    clearances: list[ShownBody]
