"""Identity codes and business ids (Finland), read by python-stdnum."""

from datetime import date
from typing import NamedTuple

from stdnum.exceptions import ValidationError
from stdnum.fi import hetu, ytunnus

from kielto.errors import KieltoError
from kielto.placeholders import is_placeholder

_CENTURIES = {"+": 1800, **dict.fromkeys("-YXWVU", 1900), **dict.fromkeys("ABCDEF", 2000)}


class InvalidIdentifierError(KieltoError, ValueError):
    """The message is the rule; it never repeats the value."""


class IdentityCode(NamedTuple):
    code: str
    birth_date: date


def identity_code(text: str, today: date) -> IdentityCode:
    """A henkilötunnus and the birth date in it. The sign is part of the identity: codes may differ by it
    alone.

    Codes of 900-999 (temporary, and those of official test people) are read too. python-stdnum takes a
    birth date in the future; we do not.
    """
    try:
        code = hetu.validate(text, allow_temporary=True)
    except ValidationError:
        raise InvalidIdentifierError(
            "must be a henkilötunnus: check form, birth date and check character"
        ) from None
    if is_placeholder(code[:6] + code[7:10]):
        raise InvalidIdentifierError("is a placeholder, not an identity code")
    birth = date(_CENTURIES[code[6]] + int(code[4:6]), int(code[2:4]), int(code[:2]))
    if birth > today:
        raise InvalidIdentifierError("must not have a birth date in the future")
    return IdentityCode(code, birth)


def business_id(text: str) -> str:
    """A Y-tunnus as `1234567-8`. Old ones of six digits get their leading zero. Under a placeholder strangers would
    be one customer for ever: it is refused.
    """
    try:
        digits = ytunnus.compact(text)
        read = str(ytunnus.format(ytunnus.validate(digits.zfill(8) if len(digits) == 7 else digits)))
    except ValidationError:
        raise InvalidIdentifierError("must be a Y-tunnus: check its form and check digit") from None
    if is_placeholder(read[:7]):
        raise InvalidIdentifierError("is a placeholder, not a Y-tunnus")
    return read
