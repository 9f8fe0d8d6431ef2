"""Clear a campaign's recipients before each is handed over, and look up what was cleared."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, NamedTuple
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Response
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
from kielto.events.digests import InvalidContactPointError, digest_of
from kielto.events.words import KIND_OF, Channel, Mode, PointKind, Purpose
from kielto.service.database import access_entry
from kielto.service.database.pool import Pool
from kielto.service.http.auth import Caller, require
from kielto.service.http.problem import FieldError, ProblemError, invalid_request
from kielto.service.http.strict_route import StrictRoute
from kielto.service.http.throttle import Throttled
from kielto.service.support.limits import FIXED
from kielto.service.support.yielding import beside
from kielto.subscriber.gate.questions import Question, Reason
from services.consents.api.callers import invalid
from services.consents.store.clearances.clearances import (
    ClearanceRequest,
    NotPrimaryError,
    UnreadableDecisionError,
)
from services.consents.use_cases.clearances.clear import (
    CLEAR_SECONDS,
    OverdueSubscriberError,
    Wanted,
    clear,
    refuse_overdue,
)
from services.consents.use_cases.clearances.search import FoundClearance, cleared
from services.consents.use_cases.context import Context, id_ref, number_subject, point_subject

PATH = "/consents/clearances"
_ERRORS = 20
_INLINE = 100

Sender = Annotated[Caller, Depends(require("campaigns", "desk"))]
Inquirer = Annotated[Caller, Depends(require("campaigns", "desk", "dpo", "operator"))]


def _plain(text: str) -> str:
    """A marketing campaign's id has one spelling, so that its deliveries find what cleared them."""
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
            raise ValueError("customer, number: one of them at most")
        if self.customer is None and self.number is None and self.address is None:
            raise ValueError("customer, number or address: one at least")
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
            raise ValueError("partner, mode: both for partners' marketing, else none")
        return self


class ResultBody(BaseModel):
    allowed: bool
    reason: Reason = Field(description="`allowed`; `denied`; `unknown`: no customer of the company's.")


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


class EvidenceBody(BaseModel):
    family: str
    key: str
    version: str
    decisions: list[str] = Field(
        description="Ids, or the company's references, that the record showed at this version."
    )


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
    reason: Reason
    record: EvidenceBody | None


class FoundBody(BaseModel):
    allowed: bool = Field(description="A clearance that was valid at the time allowed it.")
    clearances: list[ShownBody]


class ClearanceTerms(NamedTuple):
    """What the operator sets."""

    valid_seconds: float = CLEAR_SECONDS
    refuses_overdue: bool = False
    parts_at_once: int = 2


def router(pool: Pool, context: Context, terms: ClearanceTerms) -> APIRouter:
    turns = asyncio.Semaphore(terms.parts_at_once)
    routes = APIRouter(route_class=StrictRoute, prefix=PATH, tags=["clearances"])

    @routes.post("", response_model=ClearanceBody)
    async def post(given: GivenClearance, caller: Sender, throttle: Throttled) -> Response:
        """Whom the campaign may reach now; recorded before it is answered. Ask directly before handing over.

        There is no Idempotency-Key: an answer given again would be older than it says. Asking again is harmless.
        """
        company = _own(caller)
        throttle.recipients(caller, len(given.recipients))
        asked = _asked(given, company, caller)
        wanted = await _in_thread(given, context, company)
        with _answered():
            if terms.refuses_overdue:
                await refuse_overdue(pool, context, company)
            found = await clear(pool, context, asked, wanted, terms.valid_seconds, turns)
        body = {
            "id": found.id,
            "valid_seconds": terms.valid_seconds,
            "results": [{"allowed": r.reason is Reason.ALLOWED, "reason": r.reason} for r in found.results],
        }
        return Response(orjson.dumps(body), media_type="application/json")

    @routes.post("/search", response_model=FoundBody)
    async def search(given: GivenSearch, caller: Inquirer) -> FoundBody:
        """Was the campaign allowed to reach this recipient at that time, and on what record?

        A POST, so that no address stands in a URL.
        """
        company = given.company or caller.company
        if company is None or company not in context.group.company_ids:
            raise invalid("company", "is a company of the group")
        caller.must_act_for(company)
        try:
            refs, _, address = _named(given.recipient, given.channel, context, company)
        except _RecipientError as refused:
            raise invalid(f"recipient.{refused.field}", refused.rule) from None
        found = await cleared(pool, company, given.campaign, given.at, refs, address)
        keys = {given.recipient.customer, *(one.record.key for one in found if one.record)} - {None}
        access_entry.about(*(context.keys.from_pairwise(f"company.{company}", str(key)) for key in keys))
        shown = [_shown(one, context, caller) for one in found if one.asked.channel == given.channel]
        return FoundBody(allowed=any(one.allowed for one in shown), clearances=shown)

    return routes


def _own(caller: Caller) -> str:
    if caller.company is None:
        raise ProblemError(
            403, "company-needed", "A clearance is for the company of the token; this one has none."
        )
    return caller.company


def _asked(given: GivenClearance, company: str, caller: Caller) -> ClearanceRequest:
    return ClearanceRequest(
        company,
        given.campaign,
        given.purpose,
        given.channel,
        given.partner,
        given.mode,
        given.product_group,
        caller.subject,
    )


async def _in_thread(given: GivenClearance, context: Context, company: str) -> list[Wanted]:
    if len(given.recipients) <= _INLINE:
        return _wanted(given, context, company)
    return await beside(_wanted, given, context, company)


def _wanted(given: GivenClearance, context: Context, company: str) -> list[Wanted]:
    """Raises ProblemError 422 that names the first recipients of whom nothing can be asked."""
    wanted: list[Wanted] = []
    errors: list[FieldError] = []
    for index, one in enumerate(given.recipients):
        try:
            refs, digest, address = _named(one, given.channel, context, company)
        except _RecipientError as refused:
            errors.append(FieldError(f"recipients.{index}.{refused.field}", refused.rule))
            if len(errors) == _ERRORS:
                break
            continue
        question = Question(
            given.purpose,
            given.channel,
            customer=one.customer,
            number=one.number,
            address=one.address,
            product_group=given.product_group,
            partner=given.partner,
            mode=given.mode,
        )
        wanted.append(Wanted(refs[0], question, digest, address))
    if errors:
        raise invalid_request(*errors)
    return wanted


class _RecipientError(Exception):
    def __init__(self, field: str, rule: str) -> None:
        super().__init__(field)
        self.field, self.rule = field, rule


def _named(
    one: GivenRecipient, channel: Channel, context: Context, company: str
) -> tuple[list[str], bytes | None, str | None]:
    """What names the recipient, the nearest first; the digest of the address, and its ref. Raises _RecipientError."""
    refs: list[str] = []
    if one.customer is not None:
        refs.append(id_ref(f"company.{company}", one.customer))
    if one.number is not None:
        number = _digest("number", PointKind.NUMBER, f"{company}:{one.number}", "FI")
        refs.append(number_subject(context.keys, company, number).ref)
    if one.address is None:
        return refs, None, None
    kind = KIND_OF.get(channel)
    if kind not in (PointKind.EMAIL, PointKind.PHONE):
        if not refs:
            raise _RecipientError("address", "needs customer or number beside it on this channel")
        if len(one.address) != 64 or not set(one.address) <= set("0123456789abcdef"):
            raise _RecipientError("address", "is the point itself on this channel, 64 hexadecimal digits")
        return refs, None, one.address
    digest = _digest("address", kind, one.address, context.group.company(company).country)
    point = point_subject(context.keys, kind, digest).ref
    return [*refs, point], digest, point


def _digest(field: str, kind: PointKind, value: str, country: str) -> bytes:
    try:
        return digest_of(kind, value, country)
    except InvalidContactPointError as error:
        raise _RecipientError(field, str(error).partition(": ")[2]) from None


def _shown(one: FoundClearance, context: Context, caller: Caller) -> ShownBody:
    record = None
    if one.record is not None:
        party = caller.party
        decisions = sorted(context.keys.pairwise(party, i) if party else str(i) for i in one.record.decisions)
        record = EvidenceBody(**one.record._asdict() | {"decisions": decisions})
    return ShownBody(
        **{name: value for name, value in one.asked._asdict().items() if name in ShownBody.model_fields},
        clearance=one.id,
        at=one.at,
        valid_until=one.valid_until,
        allowed=one.reason is Reason.ALLOWED,
        reason=one.reason,
        record=record,
    )


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except OverdueSubscriberError:
        raise ProblemError(
            409, "subscriber-overdue", "A subscriber of the company has not applied decisions in time."
        ) from None
    except UnreadableDecisionError:
        raise ProblemError(
            409,
            "unreadable-decision",
            "A message on the decisions topic of the company, or of the partner, cannot be read and may be a ban of"
            " anybody. Nothing is cleared until it is replayed or discarded (GET /consents/quarantine).",
        ) from None
    except NotPrimaryError:
        raise ProblemError(
            503, "not-primary", "This database follows another one.", headers={"Retry-After": "1"}
        ) from None
