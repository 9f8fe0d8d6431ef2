"""Whom a recipient of a clearance request names: refs, and the digest of the address."""

from kielto.events.party import Party
from kielto.events.words import KIND_OF, Channel, PointKind
from kielto.service.http.problem import ProblemError, invalid_request
from kielto.service.support.yielding import beside
from kielto.subscriber.gate.questions import Question
from kielto.validation import FieldRule
from services.consents.api.callers import digest_given
from services.consents.api.clearances.bodies import GivenClearance, GivenRecipient
from services.consents.api.problems import invalid
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
    terms = given.model_dump(exclude={"campaign", "recipients"})
    for index, one in enumerate(given.recipients):
        try:
            refs, digest, address = named(one, given.channel, context, company)
        except ProblemError as refused:
            errors += [FieldRule(f"recipients.{index}.{field}", rule) for field, rule in refused.errors]
            if len(errors) == _ERRORS:
                break
            continue
        wanted.append(Wanted(refs[0], Question(**terms, **one.model_dump()), digest, address))
    if errors:
        raise invalid_request(*errors)
    return wanted


def named(
    one: GivenRecipient, channel: Channel, context: Context, company: str
) -> tuple[list[Ref], bytes | None, str | None]:
    """The refs of the recipient, the nearest first; the address's digest, and its ref. Raises ProblemError."""
    refs: list[Ref] = []
    if one.customer is not None:
        refs.append(Ref.of_party(Party.company(company), one.customer))
    if one.number is not None:
        number = digest_given("number", PointKind.NUMBER, f"{company}:{one.number}")
        refs.append(Ref.number(context.keys.encrypt(number)))
    if one.address is None:
        return refs, None, None
    kind = KIND_OF.get(channel)
    if kind not in (PointKind.EMAIL, PointKind.PHONE):
        if not refs:
            raise invalid("address", "must come with customer or number on this channel")
        if len(one.address) != 64 or not set(one.address) <= set("0123456789abcdef"):
            raise invalid("address", "must be the point on this channel: 64 hexadecimal digits")
        return refs, None, one.address
    digest = digest_given("address", kind, one.address, context.group.company(company).country)
    point = Ref.point(context.keys.encrypt(digest))
    return [*refs, point], digest, point
