"""What is encrypted at rest: under each person's data key, bound to its row and column (docs/decisions/0013).

An encrypted text moved to another row or column does not open: its context is part of the cipher.
"""

from uuid import UUID

import orjson
from pydantic import TypeAdapter

from kielto.service.support.crypto_keys import DataKey
from services.customers.model.customer import Facts

IDENTITY, BUSINESS = "identity_code", "business_id"


def context(table: str, row: object) -> bytes:
    return f"{table}:{row}".encode()


_SEALED = ("name", "language", "birth_date", "duties", "taken_back")
_FACTS = TypeAdapter(Facts)


def encrypt_profile(key: DataKey, customer: UUID, source: str, facts: Facts) -> bytes:
    profile = {name: value for name in _SEALED if (value := getattr(facts, name))}
    return key.encrypt(orjson.dumps(profile).decode(), _place(customer, source))


def decrypt_profile(key: DataKey, customer: UUID, source: str, encrypted: bytes) -> Facts:
    """The facts that are encrypted; the others are to be added."""
    return _FACTS.validate_json(key.decrypt(encrypted, _place(customer, source)))


def _place(customer: UUID, source: str) -> bytes:
    return context("profile", f"{customer}:{source}")
