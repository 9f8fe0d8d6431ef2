"""Identifiers of invented people, by number: the same each time; two people share none, but for a family's phone."""

from datetime import date
from typing import Any

SHARED = 5
"""People with lower numbers are customers of several companies."""
PRIVATE = 50
"""From here on they are one company's alone."""
STRANGER = 100
"""Added to a number it gives somebody of whom nobody has heard, and who is like the other in all but identifiers."""

_CHECK = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2)


def family(person: int) -> int:
    """0 and 1 have one phone."""
    return person - 1 if person % STRANGER == 1 else person


def name(person: int) -> str:
    return f"{'Eva' if person % 2 else 'Olli'} Sukunimi{chr(65 + person // 20)}{chr(65 + person % 20)}"


def birth(person: int) -> date:
    return date(2014 if person % STRANGER == 4 else 1950 + person % 40, 1 + person % 12, 1 + person % 28)


def code(person: int) -> str:
    born = birth(person)
    digits = f"{born:%d%m%y}{100 + person:03}"
    return f"{digits[:6]}{'A' if born.year >= 2000 else '-'}{digits[6:]}{_CHECK[int(digits) % 31]}"


def business(person: int) -> str:
    for digits in range(2_000_000 + 20 * person, 2_000_020 + 20 * person):
        rest = sum(int(d) * w for d, w in zip(str(digits), _WEIGHTS, strict=True)) % 11
        if rest != 1:
            return f"{digits}-{11 - rest if rest else 0}"
    raise AssertionError("one of two neighbours has a check digit")


def email(person: int) -> str:
    return f"person{person}@example.com"


def phone(person: int) -> str:
    return f"+35840555{family(person):04}"


def post(person: int) -> dict[str, str]:
    return {"street": f"Katu {person}", "postal_code": "00100", "city": "Helsinki"}


def fields(said: dict[str, Any]) -> dict[str, Any]:
    """The body of what a register says: numbers of people in the place of values."""
    known = {k: v for k, v in said.items() if k in ("recipient", "deceased", "safety_ban", "language")}
    makers = {"name": name, "identity_code": code, "business_id": business}
    known |= {field: make(said[field]) for field, make in makers.items() if field in said}
    if "birth_date" in said:
        known["birth_date"] = birth(said["birth_date"]).isoformat()
    points: list[dict[str, Any]] = []
    if "email" in said:
        points.append({"kind": "email", "value": email(said["email"])})
    if "phone" in said:
        points.append({"kind": "phone", "value": phone(said["phone"])})
    if "post" in said:
        points.append({"kind": "post", "address": post(said["post"])})
    if said.get("role_address") and points:
        points[0]["role_address"] = True
    return known | ({"points": points} if points else {})
