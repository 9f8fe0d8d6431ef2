"""A draft that names a customer by an identifier alone and says otherwise of it: two people, or a wrong identifier."""

from typing import Any
from uuid import UUID

from services.customers.model.customer import GROUP, RegisteredCustomer
from services.customers.model.draft import Draft, Speaker
from services.customers.model.names import folded
from services.customers.model.problems import BrokenRule, CustomerRefusedError

_RULE = (
    "contradicts the customer with this identifier: name that one by its number, or correct the identifier"
)


class ContradictionError(CustomerRefusedError):
    """For the group to look at."""

    def __init__(self, customer: UUID, fields: list[str]) -> None:
        self.customer, self.fields = customer, tuple(fields)
        super().__init__(BrokenRule(field, _RULE) for field in fields)


def check(
    customer: RegisteredCustomer, draft: Draft, speaker: Speaker, identity: bytes | None, *, by_code: bool
) -> None:
    """Beside what the speaker or the group states of the customer, nothing else is looked at. Raises
    ContradictionError.

    `by_code`: it was found by the identity code, else by the business id.
    """
    told = [customer.stated_by(source) for source in {speaker.name, GROUP}]
    said: dict[str, tuple[object, set[Any]]] = {
        "identity_code": (None if by_code else identity, {f.identity for f in told}),
        "business_id": (draft.business_id if by_code else None, {f.business_id for f in told}),
        "birth_date": (draft.birth_date, {f.birth_date for f in told}),
        "name": (
            folded(draft.name) if draft.name else None,
            {folded(f.name) for f in told if f.name},
        ),
    }
    fields = [f for f, (value, known) in said.items() if value and known - {None} and value not in known]
    if fields:
        raise ContradictionError(customer.id, fields)
