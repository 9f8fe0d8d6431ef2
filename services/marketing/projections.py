"""Marketing's copy of customers' and consents' records. What is absent is denied; only newer records count.

Each function returns the people whose copy changed; `recall` checks them in the same transaction.
"""

from collections.abc import Iterable
from operator import attrgetter
from uuid import UUID

import orjson

from kielto.events.records import CompanyPermissions, Customer, CustomerPermissions
from kielto.events.versions import Version
from kielto.service.database.pool import Conn
from services.marketing.store import people
from services.marketing.store.people import KeptCustomer, KeptPermissions

UNREADABLE = "unreadable"


async def customers(conn: Conn, records: Iterable[Customer]) -> list[UUID]:
    """Store customers' records; older ones than those stored are ignored."""
    newest = {r.subject: r for r in sorted(records, key=attrgetter("at_version"))}
    rows = [KeptCustomer(r.subject, r.at_version, r.status, _points(r), _holders(r)) for r in newest.values()]
    return await people.put_customers(conn, rows)


async def permissions(conn: Conn, records: Iterable[CustomerPermissions]) -> list[UUID]:
    """Store consents' records; older ones are ignored."""
    newest = {r.subject: r for r in sorted(records, key=attrgetter("at_version"))}
    rows = [KeptPermissions(r.subject, r.at_version, r.status, _companies(r)) for r in newest.values()]
    return await people.put_permissions(conn, rows)


async def deny_customer(conn: Conn, customer: UUID, version: Version) -> list[UUID]:
    """A customer's record at this version cannot be read: nothing of the person may be used until it can."""
    return await people.put_customers(conn, [KeptCustomer(customer, version, UNREADABLE, "{}")])


async def deny_permissions(conn: Conn, customer: UUID, version: Version) -> list[UUID]:
    """The permissions at this version cannot be read: they are taken to be none."""
    return await people.put_permissions(conn, [KeptPermissions(customer, version, UNREADABLE, {})])


def _points(record: Customer) -> str:
    return orjson.dumps({str(p.id): p.digest for p in record.points}).decode()


def _holders(record: Customer) -> str:
    """A company that does not have a contact point is not told of it, whatever it may do there."""
    return orjson.dumps({str(p.id): p.holders for p in record.points if p.holders}).decode()


def _companies(record: CustomerPermissions) -> dict[str, str]:
    return {c.company: _cells(c) for c in record.companies if c.points}


def _cells(company: CompanyPermissions) -> str:
    """The company's points as JSON. One whose id is no id of ours can be no one's address: it is left out."""
    points = [p for p in company.points if _is_id(p.point)]
    return orjson.dumps([p.model_dump(exclude_defaults=True) for p in points]).decode()


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
