"""Addresses that more customers have than one transaction computes."""

import hashlib
from typing import NamedTuple
from uuid import UUID

from kielto.service.database.pool import Conn

LISTED = 1000


class SharedAddress(NamedTuple):
    """`fingerprint`: 16 hex digits, the same at each look. `some`: up to five of those who have it."""

    fingerprint: str
    customers: int
    some: list[UUID]


_LIST = """
SELECT ref, count(*) AS customers, (array_agg(customer ORDER BY customer))[1:5] AS some
FROM customer_refs WHERE ref >= 'p:' AND ref < 'p;'
GROUP BY ref HAVING count(*) > $1 ORDER BY 2 DESC, 1 LIMIT $2"""


async def listed(conn: Conn, more_than: int) -> list[SharedAddress]:
    """The most shared first, at most `LISTED`. Reads the index of all addresses: a second for a million of them."""
    rows = await conn.fetch(_LIST, more_than, LISTED)
    return [SharedAddress(_fingerprint(row["ref"]), row["customers"], row["some"]) for row in rows]


def _fingerprint(ref: str) -> str:
    return hashlib.sha256(ref.encode()).hexdigest()[:16]
