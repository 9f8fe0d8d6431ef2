"""Normalisation of contact points, digests, pairwise ids: part of the contract, with vectors in `vectors/`.

    id     = hex AES-SIV(id key of the company, the 16 bytes of the customer's UUID): tag, then cipher text (RFC 5297)
    digest = SHA-256(kind, 0x00, normalised value), the canonical digest; it never leaves us unsealed
    point  = hex HMAC-SHA256(point key of the company and generation, digest)
    check  = first 16 hex digits of HMAC-SHA256(point key, "kielto point key"), carried by the beats

Each company has its own keys, so two companies cannot join their topics, while a company can look up its own customers
by address. The id key never leaves our services, which use it to turn an id back into the UUID.
"""

import hashlib
import hmac
import re
import unicodedata

from kielto.errors import InvalidValueError, KieltoError
from kielto.events.emails import email
from kielto.events.phones import e164, is_sure, phone
from kielto.events.words import PointKind

_NO_NUMBERS = frozenset({"NULL", "NONE", "NAN", "N/A", "#N/A", "UNDEFINED"})
"""What programs export in place of a missing number. Zeros alone, or neither a letter nor a digit, mean the same."""
_CHECKED = b"kielto point key"
_COMPANY = re.compile(r"[a-z][a-z0-9-]{0,39}")


class InvalidContactPointError(KieltoError, ValueError):
    """The value is no contact point of its kind. The message names the rule and never repeats the value."""


def normalise(kind: PointKind, value: str, country: str = "FI") -> str:
    """Return the normal form of a contact point, from which its digest is made (docs/contract/normalisation.md).

    `country` (ISO 3166 alpha-2) is assumed for phone numbers without a country code: the address's country, or else
    the company's. A number need only be *possible*, because numbering plans change faster than libraries. Every
    address that mail may go to is accepted, and all spellings of one mailbox have one form. A customer number is
    `<company>:<number>`, the number in compatibility form (NFKC), upper case, without white space. Placeholders are
    refused, because they would make one person of many. Raises InvalidContactPointError.
    """
    text = value.strip()
    if not text or len(text) > 320:
        raise InvalidContactPointError(f"{kind}: must have 1 to 320 characters")
    try:
        match kind:
            case PointKind.EMAIL:
                return email(text)
            case PointKind.PHONE:
                return e164(phone(text, country))
            case PointKind.NUMBER:
                return _number(text)
            case PointKind.POST:
                raise InvalidContactPointError(
                    "post: a postal address has no digest; give the id of the point"
                )
    except InvalidValueError as error:
        raise InvalidContactPointError(f"{kind}: {error}") from None


def is_of(value: str, country: str) -> bool:
    """Whether the country of a phone number is certain: the number has a country code, or it is *valid* in `country`,
    not merely possible. Raises InvalidContactPointError.
    """
    try:
        return is_sure(value.strip(), country)
    except InvalidValueError as error:
        raise InvalidContactPointError(f"phone: {error}") from None


def _number(text: str) -> str:
    company, _, number = text.partition(":")
    company = company.strip().lower()
    number = "".join(unicodedata.normalize("NFKC", number).split())
    number = unicodedata.normalize("NFKC", number.upper())
    if not _COMPANY.fullmatch(company):
        raise InvalidContactPointError("number: must be <company>:<customer number>")
    if not (number and number.isprintable()):
        raise InvalidContactPointError("number: must have printable characters other than white space")
    if number in _NO_NUMBERS or not any(c.isalnum() and c != "0" for c in number):
        raise InvalidContactPointError("number: must be a customer's number; this is a placeholder")
    return f"{company}:{number}"


def digest(kind: PointKind, normalised: str) -> bytes:
    """The canonical digest, 32 bytes."""
    return hashlib.sha256(kind.encode() + b"\0" + normalised.encode()).digest()


def digest_of(kind: PointKind, value: str, country: str = "FI") -> bytes:
    """Normalise and digest. Raises InvalidContactPointError."""
    return digest(kind, normalise(kind, value, country))


def check_of(point_key: bytes) -> str:
    """The check value of a point key, by which a company verifies its copy: 16 hex digits."""
    return hmac.new(point_key, _CHECKED, hashlib.sha256).hexdigest()[:16]


def point_of(point_key: bytes, canonical: bytes) -> str:
    """A company's hash of a contact point: 64 hex digits."""
    return hmac.new(point_key, canonical, hashlib.sha256).hexdigest()
