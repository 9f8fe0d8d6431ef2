"""Locks on subjects, always taken in one order: customers, parties' ids, numbers, contact points, each sorted.

Whoever computes permissions holds the rows of all customers that they are computed for, and of what names them
(docs/decisions/0014-locks-and-subjects.md). One statement finds what is to be locked and locks it. What is found may
have grown while it waited for a lock, so the caller compares it with what it loads afterwards: `must_cover`.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple
from uuid import UUID

import asyncpg

from kielto.errors import KieltoError
from kielto.service.database.pool import Conn
from services.consents.model.ref import Ref
from services.consents.store.permissions.closure import HIT, HIT_ALONE


class SubjectsMovedError(KieltoError):
    """The people concerned changed between finding and locking them: roll back and begin again."""


class Locked(NamedTuple):
    refs: frozenset[str]
    seed: tuple[UUID, ...]
    """Those about whom something is about to be said or learnt."""
    customers: tuple[UUID, ...]
    """Those whose permissions may follow from it."""


# `DO UPDATE … WHERE false` locks an existing row and writes nothing (PostgreSQL: INSERT, ON CONFLICT).
_LOCK = """
locked AS (
    INSERT INTO subjects (ref) SELECT ref FROM wanted ORDER BY ref
    ON CONFLICT (ref) DO UPDATE SET ref = excluded.ref WHERE false
)
SELECT array(SELECT ref FROM wanted) AS refs, array(SELECT id FROM seed) AS seed,
    array(SELECT id FROM hit) AS customers"""

_DECISION = f"""
WITH RECURSIVE seed (id) AS (
    SELECT $2::uuid WHERE $2 IS NOT NULL
    UNION
    SELECT customer FROM customer_refs WHERE ref = $1
), {HIT}, wanted (ref) AS MATERIALIZED (
    SELECT $1::text COLLATE "C"
    UNION
    SELECT 'c:' || id FROM hit WHERE (SELECT count(*) FROM hit) <= $3
), {_LOCK}"""  # noqa: S608 - constants of ours

_PORTION = f"""
WITH RECURSIVE seed (id) AS (
    SELECT unnest($1::uuid[])
), {HIT_ALONE}, wanted (ref) AS MATERIALIZED (
    SELECT ('c:' || id) COLLATE "C" FROM hit
), {_LOCK}"""  # noqa: S608 - constants of ours

_FACTS = f"""
WITH RECURSIVE seed (id) AS (
    SELECT unnest($1::uuid[])
    UNION
    SELECT unnest($2::uuid[])
), {HIT}, wanted (ref) AS MATERIALIZED (
    SELECT ('c:' || id) COLLATE "C" FROM hit
    UNION
    SELECT 'c:' || unnest($3::uuid[])
    UNION
    SELECT unnest($4::text[])
    UNION
    SELECT ref FROM customer_refs WHERE customer = ANY ($1)
), {_LOCK}"""  # noqa: S608 - constants of ours


async def for_decision(conn: Conn, ref: str, customer: UUID | None, most: int) -> Locked:
    """Lock a decision's subject and everyone whom it names now. When they are more than `most`, they are found and not
    locked. `customer` is the one of a `c:` ref.
    """
    return _locked(await conn.fetchrow(_DECISION, ref, customer, most))


async def for_portion(conn: Conn, customers: Collection[UUID]) -> Locked:
    """Lock these customers under all their ids, to compute what was decided and committed about them."""
    return _locked(await conn.fetchrow(_PORTION, customers))


async def for_facts(
    conn: Conn,
    customers: Collection[UUID],
    *,
    merged: Collection[UUID] = (),
    others: Collection[UUID] = (),
    refs: Collection[str] = (),
) -> Locked:
    """Lock customers about whom something was learnt, everyone concerned, and what named or will name them.

    `merged`: whom they are merged into, or who into them. `others`: whose decisions will count for them: organisations
    that they act for, those whose own no binds them.
    """
    return _locked(await conn.fetchrow(_FACTS, customers, merged, others, refs))


def must_cover(locked: Locked, customers: Iterable[UUID]) -> None:
    """Raises SubjectsMovedError when there are customers whose row is not locked."""
    if any(Ref.customer(customer) not in locked.refs for customer in customers):
        raise SubjectsMovedError


def _locked(row: asyncpg.Record | None) -> Locked:
    assert row is not None  # the statement selects one row
    return Locked(frozenset(row["refs"]), tuple(row["seed"]), tuple(row["customers"]))
