"""What marketing tells a party about a campaign, and our own services about a person."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID, uuid5

from kielto.events.messages import Audience, MarketingEvent, Report, Unaddressed
from kielto.events.records import Allow, AllowedPoint
from services.marketing.model.campaign import Aim

DISCLOSURES = UUID("6f0a2a5c-4d5e-5b1e-9d0c-8f6e4b3a2d10")
REPORTS = UUID("0c1d7e52-93b4-5f0a-8a77-1e2f3d4c5b6a")
"""Name spaces of derived ids: said twice, a disclosure or a report is still the same one."""


def audience(
    action: Literal["address", "recall"],
    campaign: UUID,
    aim: Aim,
    subject: str,
    addresses: Sequence[str],
    at: datetime,
) -> Audience:
    """Tell the sending party that it may address `subject` at these addresses, or no longer may.

    `subject` and `addresses` are the party's own ids. A recall lists what is taken back, and permits nothing.
    """
    permitted = Allow(
        purpose=aim.purpose,
        partner=aim.partner,
        mode=aim.mode,
        product_groups=(aim.product_group,) if aim.product_group else None,
    )
    allow = (permitted,) if action == "address" else ()
    return Audience(
        campaign=campaign,
        action=action,
        subject=subject,
        points=tuple(
            AllowedPoint(point=address, channel=aim.channel, allow=allow)
            for address in dict.fromkeys(addresses)
        ),
        purpose=aim.purpose,
        partner=aim.partner,
        mode=aim.mode,
        channel=aim.channel,
        product_group=aim.product_group,
        at=at,
    )


def disclosure(campaign: UUID, aim: Aim, customer: UUID, at: datetime) -> MarketingEvent:
    """The customer's data goes to the partner (GDPR 15(1)(c): named recipients)."""
    return MarketingEvent(
        id=uuid5(DISCLOSURES, f"{campaign}/{customer}"),
        what="disclosure",
        customer=customer,
        company=aim.company,
        partner=aim.partner,
        campaign=campaign,
        channel=aim.channel,
        at=at,
    )


def reported(
    report: Report, party: str, aim: Aim, customer: UUID, reported_at: datetime | None = None
) -> MarketingEvent:
    """A party's report in our own words."""
    return MarketingEvent(what=report.what, customer=customer, **_of(report, party, aim, reported_at))


def unaddressed(report: Report, party: str, aim: Aim, reported_at: datetime | None = None) -> Unaddressed:
    """The reported message to somebody of whom we know only what the party calls them."""
    return Unaddressed(party=party, subject=report.subject, **_of(report, party, aim, reported_at))


def _of(report: Report, party: str, aim: Aim, reported_at: datetime | None) -> dict[str, Any]:
    """What both say of a report. Report ids are unique only within their party."""
    return {
        "id": uuid5(REPORTS, f"{party}/{report.id}"),
        "company": aim.company,
        "partner": aim.partner,
        "campaign": report.campaign,
        "channel": report.channel,
        "purpose": aim.purpose,
        "at": report.at,
        "reported_at": reported_at,
        "point": report.point,
    }
