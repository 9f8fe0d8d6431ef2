"""Bodies of requests and answers."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from kielto.events.base import Ident
from kielto.events.words import Channel, Mode, Purpose
from services.marketing.model.campaign import Aim, Campaign, CampaignState, ListedPerson, PeopleCounts
from services.marketing.use_cases.catch_up import Wait


class NewCampaign(BaseModel):
    """A campaign to be drafted. `company` may be left out by a caller that acts for one."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "company": "kauppa",
                    "name": "Spring offers",
                    "purpose": "own_marketing",
                    "channel": "email",
                    "product_group": "groceries",
                },
                {
                    "company": "kauppa",
                    "name": "Journeys by our partner",
                    "purpose": "partner_marketing",
                    "partner": "matkat",
                    "mode": "partner_sends",
                    "channel": "post",
                },
            ]
        },
    )

    company: Ident | None = None
    name: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00]*$")
    ]
    purpose: Literal[Purpose.OWN_MARKETING, Purpose.PARTNER_MARKETING]
    channel: Channel
    product_group: Ident | None = None
    partner: Ident | None = None
    mode: Mode | None = None

    def aim(self, company: str) -> Aim:
        return Aim(company, self.purpose, self.channel, self.product_group, self.partner, self.mode)


class CampaignBody(BaseModel):
    id: UUID
    name: str
    company: str
    purpose: Purpose
    channel: Channel
    product_group: str | None
    partner: str | None
    mode: Mode | None
    state: CampaignState
    created_at: datetime
    launched_at: datetime | None = Field(description="When the launch was requested.")
    closed_at: datetime | None
    waiting_for: Wait | None = Field(
        description="What a launch waits for before it looks at anybody: `reading` what others published, "
        "`permissions` of new people, `settling` while records still come in. At most a minute; then it begins with "
        "what is there."
    )
    candidates: int = Field(description="How many people the company had when the launch was requested.")
    seen: int = Field(description="How many of them the launch has checked.")

    @classmethod
    def of(cls, campaign: Campaign) -> "CampaignBody":
        return cls.model_validate(_fields(campaign))


class CampaignCounts(CampaignBody):
    """The campaign with its counts, in people."""

    addressed: int = Field(description="How many people the sender was told to address.")
    recalled: int = Field(description="How many of them were recalled.")
    delivered: int = Field(description="How many deliveries were reported.")
    responded: int = Field(description="How many responses were reported.")

    @classmethod
    def with_counts(cls, campaign: Campaign, counts: PeopleCounts) -> "CampaignCounts":
        return cls.model_validate({**_fields(campaign), **counts._asdict()})


class RecipientBody(BaseModel):
    customer: str = Field(description="Our id; to a company its own (64 hex digits).")
    recalled: bool


class RecipientPage(BaseModel):
    items: list[RecipientBody]
    next: str | None = Field(description="`after` for the next page; null on the last page.")

    @classmethod
    def of(cls, entries: list[ListedPerson], limit: int, name: Callable[[UUID], str]) -> "RecipientPage":
        """`name`: a customer as whoever asks knows them."""
        items = [RecipientBody(customer=name(e.customer), recalled=not e.standing) for e in entries]
        return cls(items=items, next=items[-1].customer if len(items) == limit else None)


def _fields(campaign: Campaign) -> dict[str, object]:
    return asdict(campaign) | asdict(campaign.aim)
