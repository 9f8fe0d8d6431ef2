"""What consents keeps of customers' records: the record itself, and every name by which a decision may call them."""

from collections.abc import Iterable
from uuid import UUID

from kielto.events.records import Customer
from kielto.service.keys import Keys
from services.consents.store.customers import CustomerRow

_KEPT = {"version", "changed_at"}


def newest(records: Iterable[Customer], keys: Keys) -> list[CustomerRow]:
    """One row a customer, of the newest of the records."""
    found: dict[UUID, Customer] = {}
    for record in records:
        held = found.get(record.subject)
        if held is None or held.at_version < record.at_version:
            found[record.subject] = record
    return [_row(record, keys) for record in found.values()]


def _row(record: Customer, keys: Keys) -> CustomerRow:
    return CustomerRow(
        id=record.subject,
        version=record.at_version,
        alias_of=record.alias_of,
        organisation=record.organisation,
        body=record.model_dump_json(exclude=_KEPT, exclude_defaults=True),
        refs=tuple(dict.fromkeys(_refs(record, keys))),
        aliases=record.aliases,
    )


def party_refs(record: Customer, keys: Keys) -> Iterable[str]:
    """The ids that companies have of the customer; also those of companies that have left, which may come back."""
    for customership in record.customerships:
        party = f"company.{customership.company}"
        if keys.knows(party):
            yield f"i:{party}:{keys.pairwise(party, record.subject)}"


def _refs(record: Customer, keys: Keys) -> Iterable[str]:
    for customership in record.customerships:
        yield f"n:{customership.digest}"
    yield from party_refs(record, keys)
    for point in record.points:
        if point.digest:
            yield f"p:{point.digest}"
