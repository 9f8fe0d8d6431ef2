"""What a company asks before it sends a campaign, and the reasons it may be given."""

from enum import StrEnum
from typing import NamedTuple


class ClearanceReason(StrEnum):
    ALLOWED = "allowed"
    DENIED = "denied"
    UNKNOWN = "unknown"
    """No customer of the company."""


class ClearanceRequest(NamedTuple):
    company: str
    campaign: str
    purpose: str
    channel: str
    partner: str | None
    mode: str | None
    product_group: str | None
    asked_by: str
