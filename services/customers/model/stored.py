"""A customer as the register holds it: whole, or what a merge left of it."""

from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from kielto.service.support.crypto_keys import DataKey
from services.customers.model.customer import GROUP, RegisteredCustomer


@dataclass(frozen=True, slots=True)
class StoredCustomer:
    """A customer with what only the store needs. `revisions`: the entity tag by source."""

    customer: RegisteredCustomer
    revisions: dict[str, int]
    key: DataKey

    def revision(self, scope: str | None) -> int:
        return self.revisions.get(scope or GROUP, 0)


class CustomerAlias(NamedTuple):
    """What is left of a customer who was merged into another one."""

    id: UUID
    survivor: UUID
    companies: tuple[str, ...]
    revisions: dict[str, int]

    def revision(self, scope: str | None) -> int:
        return self.revisions.get(scope or GROUP, 0)
