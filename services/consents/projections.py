"""What consents keeps of customers' records: the record itself, and every name by which a decision may call them."""

from collections.abc import Iterable, Iterator
from uuid import UUID

from kielto.events.records import Customer
from kielto.events.words import Status
from kielto.service.support.crypto_keys import Keys
from services.consents.model.ref import Ref
from services.consents.store.permissions.customers import CustomerProjection, party_refs

_LEFT_OUT = {"version", "changed_at", "known_by", "known_by_mailbox"}
_TOKEN = 22
"""Characters kept of a keyed hash: 132 of its 384 bits, so that no two meet."""


def newest(records: Iterable[Customer], keys: Keys) -> list[CustomerProjection]:
    """One row a customer, of the newest of the records."""
    found: dict[UUID, Customer] = {}
    for record in records:
        held = found.get(record.subject)
        if held is None or held.at_version < record.at_version:
            found[record.subject] = record
    return [_row(record, keys) for record in found.values()]


def _row(record: Customer, keys: Keys) -> CustomerProjection:
    return CustomerProjection(
        id=record.subject,
        version=record.at_version,
        alias_of=record.alias_of,
        body=record.model_dump_json(exclude=_LEFT_OUT, exclude_defaults=True),
        refs=tuple(dict.fromkeys(_refs(record, keys))),
        aliases=record.aliases,
        organisations=_each(record.organisation, *(s.organisation for s in record.stated)),
        bound_by=_each(*record.bound_by),
        erased=record.status is Status.ERASED,
    )


def _each(*idents: UUID | None) -> tuple[UUID, ...]:
    return tuple(dict.fromkeys(i for i in idents if i is not None))


def _refs(record: Customer, keys: Keys) -> Iterator[Ref]:
    for customership in record.customerships:
        yield Ref.number(customership.digest)
    yield from party_refs(record, keys)
    for point in record.points:
        if point.digest:
            yield Ref.point(point.digest)
    for token in record.known_by:
        yield Ref.identity(token[:_TOKEN])
    for token in record.known_by_mailbox:
        yield Ref.mailbox(token[:_TOKEN])
