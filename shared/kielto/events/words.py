"""The vocabulary of decisions and permissions: the same words in URLs, events, tables and code.

The acts and channels are those of the Act on Electronic Communications Services 917/2014, sections 200-205,
and of GDPR article 21.
"""

from enum import StrEnum


class Act(StrEnum):
    """What someone said about marketing."""

    BAN = "ban"
    OPT_OUT = "opt_out"
    CONSENT = "consent"
    WITHDRAWAL = "withdrawal"
    OBJECTION = "objection"
    LIFTING = "lifting"

    @property
    def restricts(self) -> bool:
        """True for a *no*; a consent or a lifting is a *yes*."""
        return self not in (Act.CONSENT, Act.LIFTING)


class Reach(StrEnum):
    """Whom a decision binds: the whole group with all its partners, one company, one partner, or all partners."""

    GROUP = "group"
    COMPANY = "company"
    PARTNER = "partner"
    PARTNERS = "partners"


class Purpose(StrEnum):
    OWN_MARKETING = "own_marketing"
    PARTNER_MARKETING = "partner_marketing"
    RESEARCH = "research"
    PROFILING = "profiling"
    DISCLOSURE = "disclosure"


PARTNERS_PURPOSES = frozenset({Purpose.PARTNER_MARKETING, Purpose.DISCLOSURE})
"""Purposes in which a partner takes part."""


class Channel(StrEnum):
    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    PHONE = "phone"
    AUTOMATED_CALL = "automated_call"
    POST = "post"
    DOOR = "door"
    ONLINE_DEVICE = "online_device"
    ONLINE_LIST = "online_list"


class Mode(StrEnum):
    """How a partner's product is marketed: the company sends and keeps the data, or the partner gets data and sends."""

    WE_SEND = "we_send"
    PARTNER_SENDS = "partner_sends"


class Recipient(StrEnum):
    NATURAL = "natural"
    CONTACT = "contact"
    LEGAL = "legal"
    USER = "user"


class Status(StrEnum):
    """State of a published record. `alias`: the customer was merged into another one. `erased`: final."""

    LIVE = "live"
    ALIAS = "alias"
    ERASED = "erased"


class PointKind(StrEnum):
    """What a digest was made of. A postal address has no digest: its point is the id of the stored address."""

    EMAIL = "email"
    PHONE = "phone"
    NUMBER = "number"
    POST = "post"


CHANNELS_OF: dict[PointKind, tuple[Channel, ...]] = {
    PointKind.EMAIL: (Channel.EMAIL,),
    PointKind.PHONE: (Channel.SMS, Channel.PHONE, Channel.AUTOMATED_CALL),
    PointKind.POST: (Channel.POST, Channel.DOOR),
    PointKind.NUMBER: (),
}
KIND_OF = {channel: kind for kind, channels in CHANNELS_OF.items() for channel in channels}
"""The kind of contact point that each channel uses."""
