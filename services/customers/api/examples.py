"""Examples for the OpenAPI description: invented people."""

from typing import Any

from fastapi.openapi.models import Example

_SALE = {"seller": "kauppa", "date": "2026-03-01", "product_group": "groceries", "ban_offered": True}
_PERSON: dict[str, Any] = {
    "recipient": "natural",
    "name": "Aino Esimerkki",
    "language": "fi",
    "birth_date": "1980-05-17",
    "points": [
        {"kind": "email", "value": "aino@example.com", "sales": [_SALE]},
        {"kind": "phone", "value": "040 123 4567"},
        {
            "kind": "post",
            "address": {"street": "Esimerkkikatu 1 A 2", "postal_code": "00100", "city": "HELSINKI"},
        },
    ],
}

CREATE: dict[str, Example] = {
    "person": {
        "summary": "A person who is a customer of one company",
        "value": {
            **_PERSON,
            "customerships": [{"company": "kauppa", "number": "1001", "since": "2026-03-01"}],
        },
    },
    "contact person": {
        "summary": "A contact person of an organisation that is in the register",
        "value": {
            "recipient": "contact",
            "name": "Toivo Malli",
            "organisation": {"company": "kauppa", "number": "9000"},
            "duties": [
                {"product_group": "household", "evidence": "named as buyer in the contract of 2026-01-15"}
            ],
            "customerships": [{"company": "kauppa", "number": "9000-1"}],
        },
    },
}
CHANGE: dict[str, Example] = {
    "death": {"summary": "A death: every marketing stops", "value": {"deceased": True}},
    "name": {"summary": "A new name", "value": {"name": "Aino Uusi"}},
}
MERGE: dict[str, Example] = {
    "duplicate": {
        "summary": "The customer of this id lives on",
        "value": {"into": "0190a6f0-0000-7000-8000-000000000001"},
    }
}
ROW = {"number": "1001", "since": "2026-03-01", **_PERSON}
