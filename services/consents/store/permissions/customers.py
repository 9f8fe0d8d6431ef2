"""The newest records of customers, the refs that name each customer, disclosures, and shared addresses."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import orjson
from pydantic import BaseModel, Field

from kielto.events.party import Party
from kielto.events.records import Customer as CustomerRecord
from kielto.events.versions import Version
from kielto.service.database.pool import Conn, Pool, columns
from kielto.service.support.crypto_keys import Keys
from services.consents.model.facts import Disclosure
from services.consents.model.ref import Ref


@dataclass(frozen=True, slots=True)
class CustomerProjection:
    """What is stored of a customer's record. `refs`: all but the c: ref. `aliases`: who was merged into this customer.
    `organisations`: those that the customer acts for, as anybody states; `bound_by`: those whose own no binds them.
    """

    id: UUID
    version: Version
    alias_of: UUID | None
    body: str
    refs: tuple[str, ...]
    aliases: tuple[UUID, ...] = ()
    organisations: tuple[UUID, ...] = ()
    bound_by: tuple[UUID, ...] = ()
    erased: bool = False

    @property
    def others(self) -> tuple[UUID, ...]:
        """Ids of the others whose decisions count for the customer."""
        return (*self.organisations, *self.bound_by)


# One that could not be read is revived by its own version. Numbers and contact points that a record no longer has name
# the customer no longer; a party's id does for ever. An alias is one for ever too: neither an older record on its way
# nor a register that was restored parts what was merged.
_PUT = """
WITH new AS (
    SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::uuid[], $5::text[])
        AS n (id, epoch, n, alias_of, body)
), kept AS (
    INSERT INTO customers AS c (id, epoch, n, alias_of, body)
    SELECT id, epoch, n, alias_of, body::json FROM new
    ON CONFLICT (id) DO UPDATE SET
        epoch = excluded.epoch, n = excluded.n, unreadable = false,
        alias_of = coalesce(excluded.alias_of, c.alias_of), body = excluded.body
    WHERE (c.epoch, c.n) < (excluded.epoch, excluded.n)
        OR (c.unreadable AND (c.epoch, c.n) = (excluded.epoch, excluded.n))
    RETURNING id
), older AS (
    SELECT id FROM new WHERE id NOT IN (SELECT id FROM kept)
), named AS (
    SELECT ref, customer FROM unnest($6::text[], $7::uuid[]) AS r (ref, customer)
    WHERE customer NOT IN (SELECT id FROM older)
), related AS (
    SELECT * FROM unnest($8::uuid[], $9::text[], $10::uuid[]) AS r (customer, relation, other)
    WHERE customer NOT IN (SELECT id FROM older)
), ended AS (
    DELETE FROM relations o USING kept WHERE o.customer = kept.id
        AND (o.customer, o.relation, o.other) NOT IN (SELECT customer, relation, other FROM related)
), begun AS (
    INSERT INTO relations (customer, relation, other) SELECT * FROM related ON CONFLICT DO NOTHING
), gone AS (
    DELETE FROM customer_refs r USING kept
    WHERE r.customer = kept.id AND r.ref NOT LIKE 'i:%' AND (r.ref, r.customer) NOT IN (SELECT ref, customer FROM named)
), added AS (
    INSERT INTO customer_refs (ref, customer) SELECT ref, customer FROM named ON CONFLICT DO NOTHING
)
SELECT id FROM kept"""

# The survivor's record may be read before the aliases' own: it has their addresses by then, and their bans bind it.
_JOIN = """
INSERT INTO customers AS c (id, epoch, n, alias_of)
SELECT * FROM (SELECT unnest($1::uuid[]), 0, 0, unnest($2::uuid[])) AS j (id, epoch, n, alias_of) ORDER BY id
ON CONFLICT (id) DO UPDATE SET alias_of = excluded.alias_of WHERE c.alias_of IS NULL"""

_DENY = """
INSERT INTO customers AS c (id, epoch, n, unreadable) VALUES ($1, $2, $3, true)
ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, n = excluded.n, unreadable = true
WHERE (c.epoch, c.n) < (excluded.epoch, excluded.n)
RETURNING id"""

_IS_KNOWN = "SELECT EXISTS (SELECT FROM customers WHERE id = $1)"

_DISCLOSE = """
WITH new AS (
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
        AS n (customer, partner, company, at, ref)
), added AS (
    INSERT INTO customer_refs (ref, customer) SELECT ref, customer FROM new WHERE ref IS NOT NULL ON CONFLICT DO NOTHING
)
INSERT INTO disclosures (customer, partner, company, at) SELECT customer, partner, company, at FROM new
ON CONFLICT DO NOTHING RETURNING customer"""


_KEPT_AFTER = """
SELECT id, coalesce(body, json_build_object('subject', id)) AS body FROM customers
WHERE id > $1 ORDER BY id LIMIT $2"""

_DISCLOSED = "SELECT customer, partner FROM disclosures WHERE customer = ANY ($1::uuid[])"

_NAME = """
INSERT INTO customer_refs (ref, customer) SELECT * FROM unnest($1::text[], $2::uuid[]) ON CONFLICT DO NOTHING"""


async def kept_after(conn: Conn, after: UUID, limit: int) -> list[CustomerRecord]:
    """The stored records of the next customers by ascending id; their versions are not kept."""
    rows = await conn.fetch(_KEPT_AFTER, after, limit)
    return [CustomerRecord.model_validate({**orjson.loads(row["body"]), "version": "0.0"}) for row in rows]


def party_refs(record: CustomerRecord, keys: Keys) -> Iterator[Ref]:
    """The ids that companies have of the customer; also those of companies that have left, which may come back."""
    for customership in record.customerships:
        party = Party.company(customership.company)
        if keys.knows(party):
            yield Ref.of_party(party, keys.pairwise(party, record.subject))


class Disclosed(NamedTuple):
    customer: UUID
    partner: str


async def disclosed(conn: Conn, customers: Sequence[UUID]) -> list[Disclosed]:
    """To which partners these customers were disclosed."""
    return [Disclosed(*row) for row in await conn.fetch(_DISCLOSED, customers)]


async def name(conn: Conn, refs: Sequence[tuple[str, UUID]]) -> None:
    """Let decisions name each customer by its ref from now on."""
    await conn.execute(_NAME, [ref for ref, _ in refs], [customer for _, customer in refs])


async def put(conn: Conn, rows: Sequence[CustomerProjection]) -> list[UUID]:
    """Store the records that are newer than the stored ones; returns their ids. No customer may be given twice."""
    named = [(ref, row.id) for row in rows for ref in row.refs]
    related = [(row.id, "acts_for", other) for row in rows for other in row.organisations]
    related += [(row.id, "bound_by", other) for row in rows for other in row.bound_by]
    kept = await conn.fetch(
        _PUT,
        *columns(rows, "id", "version.epoch", "version.n", "alias_of", "body"),
        [ref for ref, _ in named],
        [customer for _, customer in named],
        [customer for customer, _, _ in related],
        [relation for _, relation, _ in related],
        [other for _, _, other in related],
    )
    ids = {row["id"] for row in kept}
    # A chain's first may be named by several; any of them leads to the same survivor.
    if joined := {alias: row.id for row in rows if row.id in ids for alias in row.aliases}:
        await conn.execute(_JOIN, list(joined), list(joined.values()))
    return list(ids)


async def deny(conn: Conn, customer: UUID, version: Version) -> bool:
    """Note that the record of this version cannot be read. False when that version, or a newer one, is stored."""
    return await conn.fetchval(_DENY, customer, version.epoch, version.n) is not None


async def is_known(conn: Conn, customer: UUID) -> bool:
    """Whether a record of this customer was ever taken in."""
    return bool(await conn.fetchval(_IS_KNOWN, customer))


async def disclose(conn: Conn, disclosures: Sequence[Disclosure]) -> bool:
    """Note disclosures. False when all were known."""
    given = columns(disclosures, "customer", "partner", "company", "at", "ref")
    return bool(await conn.fetch(_DISCLOSE, *given))


LISTED = 1000


class SharedAddress(BaseModel):
    fingerprint: str = Field(description="The same in every answer; says nothing about the address.")
    customers: int
    some: list[UUID] = Field(description="Up to five of the customers who have it.")


_SHARED = """
SELECT ref, count(*) AS customers, (array_agg(customer ORDER BY customer))[1:5] AS some
FROM customer_refs WHERE ref >= 'p:' AND ref < 'p;'
GROUP BY ref HAVING count(*) > $1 ORDER BY 2 DESC, 1 LIMIT $2"""


async def list_shared(conn: "Conn | Pool", more_than: int) -> list[SharedAddress]:
    """The most shared first, at most `LISTED`. Reads the index of all addresses: a second for a million of them."""
    rows = await conn.fetch(_SHARED, more_than, LISTED)
    return [SharedAddress(fingerprint=_fingerprint(ref), customers=n, some=some) for ref, n, some in rows]


def _fingerprint(ref: str) -> str:
    return hashlib.sha256(ref.encode()).hexdigest()[:16]
