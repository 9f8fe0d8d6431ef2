"""What consents keeps of customers' records: the record itself, and every name by which a decision may call them."""

from collections.abc import Collection, Iterable
from uuid import UUID

from kielto.events.records import Customer
from kielto.service.keys import Keys
from services.consents.store.customers import CustomerRow

_KEPT = {"version", "changed_at"}


def newest(records: Iterable[Customer], keys: Keys, parties: Collection[str]) -> list[CustomerRow]:
    """One row a customer, of the newest of the records. `parties`: those of the group, who have topics."""
    found: dict[UUID, Customer] = {}
    for record in records:
        held = found.get(record.subject)
        if held is None or held.at_version < record.at_version:
            found[record.subject] = record
    return [_row(record, keys, parties) for record in found.values()]


def _row(record: Customer, keys: Keys, parties: Collection[str]) -> CustomerRow:
    return CustomerRow(
        id=record.subject,
        version=record.at_version,
        alias_of=record.alias_of,
        organisation=record.organisation,
        body=record.model_dump_json(exclude=_KEPT, exclude_defaults=True),
        refs=tuple(dict.fromkeys(_refs(record, keys, parties))),
        aliases=record.aliases,
    )


def _refs(record: Customer, keys: Keys, parties: Collection[str]) -> Iterable[str]:
    for customership in record.customerships:
        yield f"n:{customership.digest}"
        party = f"company.{customership.company}"
        if party in parties:
            yield f"i:{party}:{keys.pairwise(party, record.subject)}"
    for point in record.points:
        if point.digest:
            yield f"p:{point.digest}"
