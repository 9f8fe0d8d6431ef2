"""Normalisation of contact points, digests, pairwise ids: part of the contract, with vectors in `vectors/`.

    id     = hex AES-SIV(id key of the company, the 16 bytes of the customer's UUID): tag, then cipher text (RFC 5297)
    digest = SHA-256(kind, 0x00, normalised value), the canonical digest; it never leaves us unsealed
    point  = hex HMAC-SHA256(point key of the company and generation, digest)

Two companies cannot join their topics, since their keys differ; a company finds its own customers by the very
address. The id key never leaves our services, which turn an id back into the UUID with it (`kielto.service.keys`).
"""

import hashlib
import hmac
import re
import unicodedata

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from kielto.events.words import PointKind

_COMPANY = re.compile(r"[a-z][a-z0-9-]{0,39}")


class InvalidContactPoint(ValueError):
    """The value is no contact point of its kind. The message names the rule and never repeats the value."""


def normalise(kind: PointKind, value: str, country: str = "FI") -> str:
    """The one spelling under which a contact point is digested.

    `country` (ISO 3166 alpha-2) reads phone numbers without a country code: the address's country, else the
    company's. A number is kept when merely *possible*, since numbering plans change faster than libraries.
    An e-mail address is lower-cased as a whole and its domain decoded: spellings of one mailbox that differ
    in case or in the domain's encoding are one. A customer number is `<company>:<number>`, the number in
    compatibility form (NFKC), upper case, without white space.
    """
    text = value.strip()
    if not text or len(text) > 320:
        raise InvalidContactPoint(f"{kind}: has 1 to 320 characters")
    match kind:
        case PointKind.EMAIL:
            return _email(text)
        case PointKind.PHONE:
            return _phone(text, country)
        case PointKind.NUMBER:
            return _number(text)
        case PointKind.POST:
            raise InvalidContactPoint("post: an address has no digest; name its id")


def _email(text: str) -> str:
    try:
        parts = validate_email(text, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise InvalidContactPoint("email: is no address by RFC 5321") from None
    return unicodedata.normalize("NFC", parts.normalized.lower())


def _phone(text: str, country: str) -> str:
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        raise InvalidContactPoint("phone: is no phone number (ITU-T E.164)") from None
    if not phonenumbers.is_possible_number(number):
        raise InvalidContactPoint("phone: has an impossible length for its country (ITU-T E.164)")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _number(text: str) -> str:
    company, _, number = text.partition(":")
    company = company.strip().lower()
    number = "".join(unicodedata.normalize("NFKC", number).split())
    number = unicodedata.normalize("NFKC", number.upper())
    if not (_COMPANY.fullmatch(company) and number and number.isprintable()):
        raise InvalidContactPoint("number: is <company>:<customer number>")
    return f"{company}:{number}"


def digest(kind: PointKind, normalised: str) -> bytes:
    """The canonical digest, 32 bytes."""
    return hashlib.sha256(kind.encode() + b"\0" + normalised.encode()).digest()


def digest_of(kind: PointKind, value: str, country: str = "FI") -> bytes:
    """Normalise and digest. Raises InvalidContactPoint."""
    return digest(kind, normalise(kind, value, country))


def point_of(point_key: bytes, canonical: bytes) -> str:
    """A company's hash of a contact point: 64 hex digits."""
    return hmac.new(point_key, canonical, hashlib.sha256).hexdigest()
