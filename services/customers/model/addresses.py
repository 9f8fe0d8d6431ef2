"""Postal addresses as one text of four lines (street, postal code, post office, country), so that equal
ones are equal.
"""

import re

from kielto.errors import KieltoError
from services.customers.model.given import Address
from services.customers.model.names import letters_of

_FINNISH_CODE = re.compile(r"\d{5}")


class InvalidAddressError(KieltoError, ValueError):
    """The message is `<field>: <rule>`."""


def to_text(address: Address, assumed: str) -> str:
    """`assumed`: the country of an address that names none. Raises InvalidAddressError."""
    country = address.country or assumed
    code = " ".join(address.postal_code.upper().split())
    if country == "FI" and not _FINNISH_CODE.fullmatch(code):
        unsaid = (
            "" if address.country else ", the country assumed for it: name the country of an address abroad"
        )
        raise InvalidAddressError(f"postal_code: must have five digits in Finland{unsaid}")
    street = " ".join(address.street.split())
    return "\n".join((street, code, " ".join(address.city.upper().split()), country))


def folded(text: str) -> str:
    """Equal for `Käsityökatu 1 A 2` and `KASITYOKATU 1a2`: street and postal code without case, diacritics, spaces and
    punctuation. The post office is left out: the code names it, and it has two languages.
    """
    street, code, _, country = text.split("\n")
    return "\0".join(("".join(letters_of(street)), "".join(letters_of(code)), country))


def from_text(text: str) -> Address:
    street, code, city, country = text.split("\n")
    return Address(street=street, postal_code=code, city=city, country=country)


def as_lines(text: str) -> str:
    """The address as written on a letter, in at most three lines."""
    street, code, city, country = text.split("\n")
    return "\n".join((street, f"{code} {city}".strip(), country))
