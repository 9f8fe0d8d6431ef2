"""The people of the demo: 10,281 of FoodMart and 59 of Chinook, spread over three companies by a fixed rule.

FoodMart (net.hydromatic:foodmart-data-json, Apache-2.0) has phones and addresses; Chinook
(net.hydromatic:chinook-data-hsqldb, MIT data) has e-mail addresses too. Both are downloaded at set-up, never committed.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COUNTRIES = {
    "USA": "US", "Canada": "CA", "Mexico": "MX", "Brazil": "BR", "Germany": "DE", "Norway": "NO", "Denmark": "DK",
    "Czech Republic": "CZ", "Austria": "AT", "Belgium": "BE", "Portugal": "PT", "France": "FR", "Finland": "FI",
    "Hungary": "HU", "Ireland": "IE", "Italy": "IT", "Netherlands": "NL", "Poland": "PL", "Spain": "ES",
    "Sweden": "SE", "United Kingdom": "GB", "Australia": "AU", "Argentina": "AR", "Chile": "CL", "India": "IN",
}  # fmt: skip
PRODUCT_GROUP = {"kauppa": "groceries", "liittyma": "mobile", "sahko": "electricity"}


@dataclass(frozen=True, slots=True)
class DemoPerson:
    """One person, known to one to three companies under a customer number in each."""

    number: str
    name: str
    country: str
    phone: str | None
    email: str | None
    street: str
    postal_code: str
    city: str
    since: str
    birth_date: str | None
    companies: tuple[str, ...]


def companies_of(n: int) -> tuple[str, ...]:
    """The fixed rule: every second person is known to kauppa, every third to liittyma, the others to sahko,
    which also knows every seventh. Some are known to all three."""
    found = [c for c, divisor in (("kauppa", 2), ("liittyma", 3)) if n % divisor == 0]
    if not found or n % 7 == 0:
        found.append("sahko")
    return tuple(found)


def foodmart(jar: Path) -> Iterator[DemoPerson]:
    with zipfile.ZipFile(jar) as archive, archive.open("customer.json") as lines:
        for line in lines:
            row = json.loads(line)
            yield DemoPerson(
                number=str(row["account_num"]),
                name=row["fullname"],
                country=COUNTRIES[row["country"]],
                phone=row["phone1"],
                email=None,
                street=row["address1"],
                postal_code=row["postal_code"],
                city=row["city"],
                since=row["date_accnt_opened"],
                birth_date=row["birthdate"],
                companies=companies_of(row["customer_id"]),
            )


_INSERT = 'INSERT INTO "chinook"."Customer" VALUES('
_VALUE = re.compile(r"'((?:[^']|'')*)'|([^,']+)")


def chinook(jar: Path) -> Iterator[DemoPerson]:
    """Every one of them is a customer of kauppa and liittyma, so that an e-mail campaign reaches all 59."""
    with zipfile.ZipFile(jar) as archive:
        script = archive.read("chinook.script").decode("ascii")
    for line in script.splitlines():
        if not line.startswith(_INSERT):
            continue
        values = [_text(quoted, bare) for quoted, bare in _VALUE.findall(line[len(_INSERT) : -1])]
        ident, first, last, _, street, city, _, country, code, phone, _, email, _ = values
        yield DemoPerson(
            number=f"C{ident}",
            name=f"{first} {last}",
            country=COUNTRIES[country or ""],
            phone=phone,
            email=email,
            street=street or "",
            postal_code=code or "",
            city=city or "",
            since="2009-01-01",
            birth_date=None,
            companies=("kauppa", "liittyma"),
        )


def _text(quoted: str, bare: str) -> str | None:
    if bare:
        return None if bare == "NULL" else bare
    return re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), quoted.replace("''", "'"))


def row(person: DemoPerson, company: str) -> dict[str, object]:
    """An import row of `company`. Who is known to several companies says so by the first one's number.

    Phones and e-mail addresses were given in connection with a sale by the company, with a ban offered: the soft
    opt-in of 917/2014 section 200(3).
    """
    sale = {
        "seller": company,
        "date": person.since,
        "product_group": PRODUCT_GROUP[company],
        "ban_offered": True,
    }
    points: list[dict[str, object]] = [
        {
            "kind": "post",
            "address": {
                "street": person.street or "-",
                "postal_code": person.postal_code,
                "city": person.city or "-",
                "country": person.country,
            },
        }
    ]
    points += [
        {"kind": kind, "value": value, "sales": [sale]}
        for kind, value in (("phone", person.phone), ("email", person.email))
        if value
    ]
    found: dict[str, object] = {
        "number": person.number,
        "since": person.since,
        "name": person.name,
        "points": points,
    }
    if person.birth_date:
        found["birth_date"] = person.birth_date
    if company != person.companies[0]:
        found["same_as"] = {"company": person.companies[0], "number": person.number}
    return found
