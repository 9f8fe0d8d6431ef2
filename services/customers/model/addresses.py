"""Postal addresses as one text of four lines (street, postal code, post office, country), so that equal
ones are equal.
"""

import re

from services.customers.model.given import Address

_FINNISH_CODE = re.compile(r"\d{5}")


class InvalidAddress(ValueError):
    """The message is `<field>: <rule>`."""


def to_text(address: Address) -> str:
    """Raises InvalidAddress."""
    code = " ".join(address.postal_code.upper().split())
    if address.country == "FI" and not _FINNISH_CODE.fullmatch(code):
        raise InvalidAddress("postal_code: has five digits in Finland")
    street = " ".join(address.street.split())
    return "\n".join((street, code, " ".join(address.city.upper().split()), address.country))


def from_text(text: str) -> Address:
    street, code, city, country = text.split("\n")
    return Address(street=street, postal_code=code, city=city, country=country)


def as_lines(text: str) -> str:
    """As written on a letter: at most three lines."""
    street, code, city, country = text.split("\n")
    return "\n".join((street, f"{code} {city}".strip(), country))
