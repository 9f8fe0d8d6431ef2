"""What is sealed at rest: under each person's data key, bound to its row and column (docs/decisions/0013).

A sealed text moved to another row or column does not open: its context is part of the cipher.
"""

from datetime import date
from typing import Any
from uuid import UUID

import orjson

from kielto.service.support.crypto_keys import DataKey
from services.customers.model.customer import Facts, StatedDuty, TakenBack

IDENTITY, BUSINESS = "identity_code", "business_id"


def context(table: str, row: object) -> bytes:
    return f"{table}:{row}".encode()


def encrypt_profile(key: DataKey, customer: UUID, source: str, facts: Facts) -> bytes:
    profile = {
        "name": facts.name,
        "language": facts.language,
        "birth_date": facts.birth_date.isoformat() if facts.birth_date else None,
        "duties": [[d.product_group, d.evidence] for d in facts.duties],
        "taken_back": [[t.field, t.stated_by, t.reason, t.at] for t in facts.taken_back],
    }
    text = orjson.dumps({k: v for k, v in profile.items() if v}).decode()
    return key.encrypt(text, _place(customer, source))


def decrypt_profile(key: DataKey, customer: UUID, source: str, sealed: bytes) -> dict[str, Any]:
    """Arguments of Facts."""
    profile = orjson.loads(key.decrypt(sealed, _place(customer, source)))
    if birth := profile.get("birth_date"):
        profile["birth_date"] = date.fromisoformat(birth)
    profile["duties"] = tuple(StatedDuty(*d) for d in profile.get("duties", ()))
    profile["taken_back"] = tuple(
        TakenBack(field, tuple(stated_by), reason, at)
        for field, stated_by, reason, at in profile.get("taken_back", ())
    )
    return dict(profile)


def _place(customer: UUID, source: str) -> bytes:
    return context("profile", f"{customer}:{source}")
