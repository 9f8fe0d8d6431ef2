"""Of several records of a customer the newest is kept, with every name by which a decision may call them."""

import secrets
from uuid import UUID, uuid4

from kielto.events.records import Customer, CustomerPoint, CustomershipOf
from kielto.events.words import PointKind
from kielto.service.support.crypto_keys import KeyFile, Keys
from services.consents.projections import newest
from services.consents.store.permissions.bodies import customer_of
from services.consents.use_cases.context import decision_id

KEYS = Keys(
    KeyFile(
        digest_key=secrets.token_hex(64),
        master_key=secrets.token_hex(32),
        index_key=secrets.token_hex(32),
        id_keys={"company.a": secrets.token_hex(32)},
    )
)
CUSTOMER = Customer(
    version="1.9",
    subject=uuid4(),
    points=(
        CustomerPoint(id=uuid4(), kind_of=PointKind.PHONE, digest="p" * 64),
        CustomerPoint(id=uuid4(), kind_of=PointKind.POST),
    ),
    customerships=(
        CustomershipOf(company="a", digest="n" * 64, active=False),
        CustomershipOf(company="gone", digest="m" * 64),
    ),
)


def test_the_newest_by_version_not_by_place() -> None:
    older = CUSTOMER.model_copy(update={"version": "1.10"})
    newer = CUSTOMER.model_copy(update={"version": "2.1", "deceased": True})
    for records in ([older, newer, CUSTOMER], [newer, CUSTOMER, older]):
        (row,) = newest(records, KEYS)
        assert str(row.version) == "2.1"
        assert '"deceased":true' in row.body


def test_every_name_of_a_customer() -> None:
    """An ended customership names them too; a company without keys gives no id."""
    (row,) = newest([CUSTOMER], KEYS)
    ident = KEYS.pairwise("company.a", CUSTOMER.subject)
    assert set(row.refs) == {"n:" + "n" * 64, "n:" + "m" * 64, "p:" + "p" * 64, f"i:company.a:{ident}"}


def test_a_kept_record_is_read_as_it_was_given() -> None:
    (row,) = newest([CUSTOMER], KEYS)
    found = customer_of(row.id, CUSTOMER.model_dump(mode="json", exclude_defaults=True))
    assert [(p.kind, p.ref) for p in found.points] == [(PointKind.PHONE, b"p" * 64), (PointKind.POST, None)]
    assert [(c.company, c.active) for c in found.customerships] == [("a", False), ("gone", True)]


def test_ids_of_companies_decisions_never_change() -> None:
    """Part of what makes a replay harmless, so fixed by a vector."""
    ident = decision_id("company.a", UUID(int=7))
    assert str(ident) == "a4c7d30f-acb3-54b2-a86f-08015fd8cad7"
    assert decision_id("company.b", UUID(int=7)) != ident
