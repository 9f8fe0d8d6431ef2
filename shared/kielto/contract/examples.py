"""One example of every message, for the published descriptions. All of it is invented."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from kielto.events import messages, records
from kielto.events.base import Event
from kielto.events.control import AboutParty, Beat, Reconcile, SnapshotComplete, Taken, Void
from kielto.events.results import DecisionResult, ResultReason, ResultStatus
from kielto.events.words import Act, Channel, Mode, PointKind, Purpose, Reach, Recipient

_CUSTOMER = UUID("0190a0b0-1111-7000-8000-000000000001")
_DECISION = UUID("0190a0b0-2222-7000-8000-000000000002")
_CAMPAIGN = UUID("0190a0b0-3333-7000-8000-000000000003")
_TOPIC = UUID("0190a0b0-4444-4000-8000-000000000004")
_ID, _POINT, _NUMBER, _REFERENCE = "a1" * 32, "b2" * 32, "c3" * 32, "d4" * 32
_SEALED = "x" * 64
_AT = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)

_ALLOWED = records.AllowedPoint(
    point=_POINT,
    channel=Channel.EMAIL,
    allow=(
        records.Allow(purpose=Purpose.OWN_MARKETING, product_groups=("groceries",)),
        records.Allow(purpose=Purpose.PARTNER_MARKETING, partner="matkat", mode=Mode.WE_SEND),
    ),
)

_STORE: dict[str, Any] = {
    "subscriber": "kauppa-crm",
    "instance": UUID("0190a0b0-6666-4000-8000-000000000006"),
    "generation": UUID("0190a0b0-7777-4000-8000-000000000007"),
    "positions": (
        messages.Position(topic="company.kauppa.restrictions.v1", topic_id=_TOPIC, partition=3, offset=42),
    ),
}
"""What the acknowledgements and the answers of one store have in common."""

EXAMPLES: tuple[Event, ...] = (
    records.Permissions(
        subject=_ID,
        version="1.7",
        changed_at=_AT,
        recipient=Recipient.NATURAL,
        numbers=(_NUMBER,),
        points=(_ALLOWED,),
        decision=_REFERENCE,
    ),
    records.CustomerPermissions(
        subject=_CUSTOMER,
        version="1.7",
        changed_at=_AT,
        recipient=Recipient.NATURAL,
        companies=(records.CompanyPermissions(company="kauppa", points=(_ALLOWED,)),),
        restrictions=(_DECISION,),
        decision=_DECISION,
    ),
    records.Customer(
        subject=_CUSTOMER,
        version="1.3",
        changed_at=_AT,
        recipient=Recipient.NATURAL,
        points=(
            records.CustomerPoint(
                id=UUID("0190a0b0-5555-7000-8000-000000000005"),
                kind_of=PointKind.EMAIL,
                digest=_SEALED,
                sales=(
                    records.SaleOf(
                        seller="kauppa", date="2025-12-01", product_group="groceries", ban_offered=True
                    ),
                ),
            ),
        ),
        customerships=(records.CustomershipOf(company="kauppa", digest=_SEALED),),
    ),
    records.CompanyCustomer(
        subject=_ID,
        version="1.3",
        changed_at=_AT,
        recipient=Recipient.NATURAL,
        name="Maija Meikäläinen",
        language="fi",
        numbers=("A12-3",),
        points=(records.NamedPoint(point=_POINT, channel_kind=PointKind.EMAIL, value="maija@example.com"),),
    ),
    Beat(
        epoch=1,
        term=2,
        n=345,
        generation=1,
        taken=(Taken(topic="company.kauppa.decisions.v1", topic_id=_TOPIC, offsets=(12, 0, 3, 40, 7, 9)),),
        about=AboutParty(
            point_keys={1: "485ac40f3317993b"}, subscribers=("kauppa-crm",), partners=("matkat",)
        ),
        at=_AT,
    ),
    SnapshotComplete(epoch=1, generation=1, count=10340, begin_restrictions=120, begin_bulk=1730),
    Void(topic_id=_TOPIC, partition=3, offset=41),
    messages.Decision(
        id=_DECISION,
        subject=messages.DecisionSubject(point="e5" * 32, point_kind=PointKind.PHONE),
        act=Act.BAN,
        reach=Reach.GROUP,
        channels=(Channel.PHONE, Channel.SMS),
        by="agent",
        route="phone",
        said_at=_AT,
        evidence="call 2026-01-15 09:30",
    ),
    DecisionResult(
        id=_DECISION,
        partition=3,
        offset=41,
        status=ResultStatus.WIDENED,
        decision=_REFERENCE,
        reasons=(ResultReason(field="channels", rule="are channels that the group knows"),),
        at=_AT,
    ),
    messages.Acknowledgement(
        **_STORE,
        exceptions=(
            messages.StoreException(
                topic="company.kauppa.restrictions.v1",
                partition=3,
                offset=40,
                key=_ID,
                version="1.6",
                reason="value: points: tuple_type",
            ),
        ),
        claimed_at=_AT,
    ),
    Reconcile(subscriber="kauppa-crm", ask=_DECISION, buckets=(645,)),
    messages.StoreDigest(**_STORE, ask=_DECISION, content=True, digests="0" * 16384),
    messages.StoreListing(
        **_STORE, ask=_DECISION, content=True, bucket=646, rows=(f"{_ID} 1.7 00112233445566ff",)
    ),
    messages.Audience(
        campaign=_CAMPAIGN,
        action="address",
        subject=_ID,
        points=(_ALLOWED,),
        purpose=Purpose.OWN_MARKETING,
        channel=Channel.EMAIL,
        product_group="groceries",
        at=_AT,
    ),
    messages.MarketingEvent(
        id=_DECISION, what="disclosure", customer=_CUSTOMER, company="kauppa", partner="matkat", at=_AT
    ),
    messages.Unaddressed(
        id=_DECISION,
        party="company.kauppa",
        subject=_ID,
        company="kauppa",
        campaign=_CAMPAIGN,
        channel=Channel.EMAIL,
        purpose=Purpose.OWN_MARKETING,
        at=_AT,
    ),
    messages.Report(
        id=_DECISION,
        what="delivery",
        campaign=_CAMPAIGN,
        subject=_ID,
        point=_POINT,
        channel=Channel.EMAIL,
        at=_AT,
    ),
)
