"""Whom a recipient of a clearance request names: refs, and the digest of the address."""

from kielto.events.digests import InvalidContactPointError, digest_of
from kielto.events.party import Party
from kielto.events.words import KIND_OF, Channel, PointKind
from kielto.service.http.problem import invalid_request
from kielto.service.support.yielding import beside
from kielto.subscriber.gate.questions import Question
from kielto.validation import FieldRule
from services.consents.api.clearances.bodies import GivenClearance, GivenRecipient
from services.consents.model.ref import Ref
from services.consents.use_cases.clearances.clear import Wanted
from services.consents.use_cases.context import Context

_ERRORS = 20
_INLINE = 100
"""Up to so many recipients are translated on the event loop, more of them in a thread."""


async def wanted_recipients(given: GivenClearance, context: Context, company: str) -> list[Wanted]:
    """Raises ProblemError 422 that names the first recipients about whom nothing can be asked."""
    if len(given.recipients) <= _INLINE:
        return _wanted(given, context, company)
    return await beside(_wanted, given, context, company)


def _wanted(given: GivenClearance, context: Context, company: str) -> list[Wanted]:
    wanted: list[Wanted] = []
    errors: list[FieldRule] = []
    for index, one in enumerate(given.recipients):
        try:
            refs, digest, address = named(one, given.channel, context, company)
        except RecipientError as refused:
            errors.append(FieldRule(f"recipients.{index}.{refused.field}", refused.rule))
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


class RecipientError(Exception):
    def __init__(self, field: str, rule: str) -> None:
        super().__init__(field)
        self.field, self.rule = field, rule


def named(
    one: GivenRecipient, channel: Channel, context: Context, company: str
) -> tuple[list[Ref], bytes | None, str | None]:
    """The refs of the recipient, the nearest first; the address's digest, and its ref. Raises RecipientError."""
    refs: list[Ref] = []
    if one.customer is not None:
        refs.append(Ref.of_party(Party.company(company), one.customer))
    if one.number is not None:
        number = _digest("number", PointKind.NUMBER, f"{company}:{one.number}", "FI")
        refs.append(Ref.number(context.keys.encrypt(number)))
    if one.address is None:
        return refs, None, None
    kind = KIND_OF.get(channel)
    if kind not in (PointKind.EMAIL, PointKind.PHONE):
        if not refs:
            raise RecipientError("address", "must come with customer or number on this channel")
        if len(one.address) != 64 or not set(one.address) <= set("0123456789abcdef"):
            raise RecipientError("address", "must be the point itself on this channel: 64 hexadecimal digits")
        return refs, None, one.address
    digest = _digest("address", kind, one.address, context.group.company(company).country)
    point = Ref.point(context.keys.encrypt(digest))
    return [*refs, point], digest, point


def _digest(field: str, kind: PointKind, value: str, country: str) -> bytes:
    try:
        return digest_of(kind, value, country)
    except InvalidContactPointError as error:
        raise RecipientError(field, str(error).partition(": ")[2]) from None
