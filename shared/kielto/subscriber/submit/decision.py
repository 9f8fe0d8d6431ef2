"""Makes the decision of the contract from the arguments of `submit`."""

from collections.abc import Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from kielto.errors import InvalidValueError
from kielto.events.digests import digest_of, point_of
from kielto.events.messages import Decision, DecisionSubject
from kielto.events.words import PointKind
from kielto.subscriber.gate.gate import FollowedParty
from kielto.validation import rule


def decide(
    party: FollowedParty,
    said: Mapping[str, object],
    customer: str | None,
    number: str | None,
    email: str | None,
    phone: str | None,
) -> tuple[str, Decision]:
    """The key of the message, a hash under the party's own key, and the decision.

    Raises InvalidValueError with the field and the rule.
    """
    who = {"customer": customer, "number": number, "email": email, "phone": phone}
    given = {field: value for field, value in who.items() if value is not None}
    if len(given) != 1:
        raise InvalidValueError("customer, number, email, phone: give exactly one of them")
    for field, value in given.items():
        if not isinstance(value, str):
            raise InvalidValueError(f"{field}: must be text")
    if customer is not None:
        return _valid(customer, {**said, "subject": {"id": customer}})
    if number is not None:
        digest = digest_of(PointKind.NUMBER, f"{party.name.id}:{number}")
        subject = DecisionSubject(number=digest.hex())
    else:
        kind = PointKind.EMAIL if email is not None else PointKind.PHONE
        digest = digest_of(kind, email or phone or "", party.country)
        subject = DecisionSubject(point=digest.hex(), point_kind=kind)
    return _valid(point_of(party.point_keys[max(party.point_keys)], digest), {**said, "subject": subject})


def _valid(key: str, said: Mapping[str, object]) -> tuple[str, Decision]:
    try:
        return key, Decision.model_validate(said)
    except ValidationError as error:
        told = dict.fromkeys(f"{_field(e['loc'])}: {_rule(e)}" for e in error.errors(include_url=False))
        raise InvalidValueError("; ".join(told)) from None


def _field(place: tuple[int | str, ...]) -> str:
    """The name of the field in `submit`."""
    return "customer" if place[:2] == ("subject", "id") else ".".join(map(str, place[:1])) or "decision"


def _rule(error: ErrorDetails) -> str:
    return "must be 64 hexadecimal digits, lower-case" if error["loc"][:1] == ("subject",) else rule(error)
