"""What is sealed at rest: under each person's data key, bound to its row and column (docs/decisions/0013).

A sealed text moved to another row or column does not open: its context is part of the cipher.
"""

from datetime import date
from typing import Any
from uuid import UUID

import orjson

from kielto.service.keys import DataKey
from services.customers.model.customer import Customer, Duty

IDENTITY, BUSINESS = "identity_code", "business_id"


def context(table: str, row: UUID) -> bytes:
    return f"{table}:{row}".encode()


def seal_profile(key: DataKey, customer: Customer) -> bytes:
    profile = {
        "name": customer.name,
        "language": customer.language,
        "birth_date": customer.birth_date.isoformat() if customer.birth_date else None,
        "duties": [[d.product_group, d.evidence] for d in customer.duties],
    }
    text = orjson.dumps({k: v for k, v in profile.items() if v}).decode()
    return key.encrypt(text, context("profile", customer.id))


def open_profile(key: DataKey, customer: UUID, sealed: bytes) -> dict[str, Any]:
    """Arguments of a Customer."""
    profile = orjson.loads(key.decrypt(sealed, context("profile", customer)))
    if birth := profile.get("birth_date"):
        profile["birth_date"] = date.fromisoformat(birth)
    profile["duties"] = tuple(Duty(*d) for d in profile.get("duties", ()))
    return dict(profile)
