"""The normal form of a phone number: ITU-T E.164, by libphonenumber.

libphonenumber reads letters as the digits of a keypad and drops characters that it does not know, so it makes another
person's number of `0405550002 Eva`. Therefore this module first drops known annotations, and refuses everything else
that is not a digit or a known separator.
"""

import re
import unicodedata
from functools import lru_cache

import phonenumbers

from kielto.errors import InvalidValueError
from kielto.placeholders import is_placeholder

_LABEL = re.compile(
    r"(?:tel|p|puh|puhelin|matkapuhelin|gsm|phone|mobile|mob)(?:\s*[.:]\s*|\s+)", re.IGNORECASE | re.ASCII
)
_CONTEXT = re.compile(r";phone-context=\+([0-9]{1,7})", re.IGNORECASE)
_ZEROS_OF_A_FLOAT = re.compile(r"(\+?[0-9]{7,15})[.,]0{1,2}")
_DECIMAL_TAIL = re.compile(r"[^.,]*[0-9]{7}[.,][0-9]+|[^.,]*[.,][0-9]{1,2}")
_LONE_TAIL = re.compile(r".*[0-9]{2}[^0-9]+[0-9]|.*[0-9]{9}[^0-9]+[0-9]{2}")
"""`0405550002-3`, `0405550002 12`: an alternative last digit or an extension, and no part of the number."""
_FORM = re.compile(r"\+*[0-9 ()\[\]./-]+")
_DIGITS = re.compile(r"\+?[0-9]+")
_SOURCE = phonenumbers.CountryCodeSource
_NAMES_ITS_COUNTRY = (_SOURCE.FROM_NUMBER_WITH_PLUS_SIGN, _SOURCE.FROM_NUMBER_WITH_IDD)
_FORM_RULE = "must have only digits, spaces and ( ) . - / after an optional +; one number, no extension"
_AREA_BEFORE_SLASH = re.compile(r"0[0-9]{1,5}|\+[0-9]{1,7}")
_DASHES = re.compile("[\u2010-\u2015\u2212]")


@lru_cache(maxsize=64)  # what is normalised is mostly asked about at once: `is_sure`
def phone(text: str, country: str) -> phonenumbers.PhoneNumber:
    """Parse a number. `country` (ISO 3166 alpha-2) is assumed if it has no country code. Raises InvalidValueError."""
    try:
        number = phonenumbers.parse(_plain(text), country, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        raise InvalidValueError("must be a phone number (ITU-T E.164)") from None
    if not phonenumbers.is_possible_number(number):
        raise InvalidValueError("has an impossible length for its country (ITU-T E.164)")
    national = phonenumbers.national_significant_number(number)
    if is_placeholder(national):
        raise InvalidValueError("must be somebody's number; this is a placeholder")
    return number


def is_sure(text: str, country: str) -> bool:
    """Whether the number names its country, or is valid in the one that was assumed. Raises InvalidValueError."""
    number = phone(text, country)
    return number.country_code_source in _NAMES_ITS_COUNTRY or phonenumbers.is_valid_number(number)


def e164(number: phonenumbers.PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def _plain(text: str) -> str:
    """Drop annotations, so that digits and separators are left. Raises InvalidValueError."""
    if _DIGITS.fullmatch(text):  # as most are given: there is nothing to drop or to refuse
        return text
    text = text.replace("\t", " ").strip() if text.isascii() else _from_unicode(text)
    text, context = _without_context(text)
    text = context + _LABEL.sub("", text, count=1) if _LABEL.match(text) else text
    if zeros := _ZEROS_OF_A_FLOAT.fullmatch(text):
        return zeros[1]
    if _DECIMAL_TAIL.fullmatch(text):
        raise InvalidValueError("ends in a decimal fraction: give the digits as text")
    if not _FORM.fullmatch(text):
        raise InvalidValueError(_FORM_RULE)
    if _LONE_TAIL.fullmatch(text):
        raise InvalidValueError("must be one number without an extension; its last digits stand apart")
    _one_number(text)
    return text


def _from_unicode(text: str) -> str:
    """Raises InvalidValueError."""
    if any(unicodedata.category(c) == "No" for c in text):  # 2 as a superscript would become a digit
        raise InvalidValueError(_FORM_RULE)
    text = unicodedata.normalize("NFKC", text)
    text = "".join(_ascii(c) for c in text if unicodedata.category(c) != "Cf").strip()
    return _DASHES.sub("-", text)


def _ascii(char: str) -> str:
    """Turn a decimal digit of any script into 0-9, and a space of any kind, but not a line break, into a blank."""
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    return " " if category == "Zs" or char == "\t" else char


def _without_context(text: str) -> tuple[str, str]:
    """Split a `tel:` URI (RFC 3966) into its text and the country code of its phone-context."""
    if not text.lower().startswith("tel:") or (found := _CONTEXT.search(text)) is None:
        return text, ""
    if found.end() != len(text):
        raise InvalidValueError("must be one number; a tel: URI may have no parameter but phone-context")
    return text[: found.start()], f"+{found[1]}"


def _one_number(text: str) -> None:
    """Refuse two numbers with a slash between them; a slash may only follow an area code."""
    area, slash, rest = text.partition("/")
    if not slash:
        return
    digits = re.sub(r"[^0-9+]", "", area)
    local = re.sub(r"[^0-9]", "", rest)
    if "/" in rest or not _AREA_BEFORE_SLASH.fullmatch(digits) or len(local) < 5 or local[0] == "0":
        raise InvalidValueError("must be one number; give each number as a point of its own")
