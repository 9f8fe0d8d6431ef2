"""Clearances: their locks, what is read under them, and the compact record of what was answered.

The locks are shared: clearances do not wait for each other; a decision waits for them and they for it, since a
decision's lock (store/permissions/locks.py) excludes FOR SHARE. They are taken in that module's order, sorted.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from struct import Struct
from typing import NamedTuple
from uuid import UUID

import asyncpg

from kielto.events.party import Party
from kielto.events.versions import Version
from kielto.service.database.epoch import EpochNotOpenError
from kielto.service.database.pool import Conn, Pool
from kielto.service.support.yielding import beside
from services.consents.model.clearance import ClearanceReason, ClearanceRequest
from services.consents.model.decisions import RecordedDecision
from services.consents.model.ref import Ref
from services.consents.store.decisions.decisions import decision_of
from services.consents.store.permissions.closure import PERSON, has_address
from services.consents.store.permissions.consequences import OWED_BY
from services.consents.store.permissions.locks import SubjectsMovedError

_ENTRY = Struct(">8s8sBIQ8s")
"""Hash of the ref asked about; the record's key (8 bytes); reason; epoch; n; hash of the address's ref, if any."""
_NOBODY = _NO_ADDRESS = bytes(8)
_REASONS = {1: ClearanceReason.ALLOWED, 2: ClearanceReason.DENIED, 3: ClearanceReason.UNKNOWN}
_CODES = {reason: code for code, reason in _REASONS.items()}


class Holder(NamedTuple):
    """The current record of a customer of the company. `owed`: a committed decision is not in it yet."""

    key: str
    version: Version
    body: str
    owed: bool = False


class ClearanceHolders(NamedTuple):
    """By ref: the records of whom it names. `elsewhere`: refs that name customers of other companies only."""

    holders: dict[str, list[Holder]]
    elsewhere: set[str]


class Result(NamedTuple):
    """The answer about one recipient. `holder`: whose record decided; None: nobody's. `others`: who has the same
    address and allows, too. `address`: its ref, if one was asked about.
    """

    ref: str
    reason: ClearanceReason
    holder: Holder | None
    others: tuple[Holder, ...] = ()
    address: str | None = None


class ClearancePart(NamedTuple):
    """Recipients of a clearance that are read and recorded together. All parts of a clearance expire together."""

    id: UUID
    number: int
    at: datetime
    valid_until: datetime


class ClearedRecipient(NamedTuple):
    """One recipient of a clearance that was recorded. `key`: the beginning of the record's key, or None."""

    clearance: UUID
    request: ClearanceRequest
    at: datetime
    valid_until: datetime
    reason: ClearanceReason
    key: str | None
    version: Version


# Of the asking company's customers alone: nobody's ban waits for what another company asks about strangers.
_LOCK = """
SELECT ref FROM subjects
WHERE ref = ANY (array(SELECT 'c:' || n.customer FROM customer_refs n WHERE n.ref = ANY ($1::text[]) AND EXISTS (
    SELECT FROM customer_refs own WHERE own.customer = n.customer AND starts_with(own.ref, $2))))
ORDER BY ref FOR SHARE"""

_LOCK_POINTS = """
INSERT INTO subjects (ref) SELECT ref FROM unnest($1::text[]) AS r (ref) ORDER BY ref COLLATE "C"
ON CONFLICT (ref) DO UPDATE SET ref = excluded.ref WHERE false"""

_LOAD = f"""
WITH {OWED_BY}
SELECT a.ref, c.customer, k.key, r.epoch, r.n, r.body, EXISTS (SELECT FROM owed o WHERE o.id = c.customer) AS owed
FROM unnest($1::text[]) AS a (ref)
CROSS JOIN LATERAL (SELECT customer FROM customer_refs x WHERE x.ref = a.ref OFFSET 0) AS c
LEFT JOIN LATERAL (
    SELECT substr(x.ref, length($2) + 1) AS key FROM customer_refs x
    WHERE x.customer = c.customer AND starts_with(x.ref, $2) OFFSET 0
) AS k ON true
LEFT JOIN LATERAL (
    SELECT epoch, n, body FROM records y WHERE y.family = $3 AND y.key = k.key COLLATE "default" OFFSET 0
) AS r ON true"""  # noqa: S608 - constants of ours

_UNREADABLE = """
SELECT EXISTS (
    SELECT FROM quarantine WHERE topic = ANY ($1::text[]) AND state = 'open' AND holds AND customer IS NULL)"""

_SAID = """
SELECT d.*, d.ref AS asked, NULL AS known_by FROM decisions_in_force d WHERE d.ref = ANY ($1::text[])
UNION ALL
SELECT d.*, s.ref, 'identity' FROM suppressions s JOIN decisions_in_force d ON d.id = s.decision
WHERE s.ref = ANY ($1::text[])"""

_ADD = """
INSERT INTO clearances (id, part, company, campaign, purpose, channel, partner, mode, product_group, asked_by,
    at, valid_until, recipients)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
RETURNING (SELECT epoch FROM current_epoch WHERE checked) AS epoch, CASE
    WHEN current_setting('synchronous_commit') IN ('off', 'local') THEN set_config('synchronous_commit', 'on', true)
END"""

_AT = """
SELECT * FROM clearances WHERE company = $1 AND campaign = $2 AND at <= $3 AND valid_until >= $3
    AND at >= $3 - interval '5 minutes'
ORDER BY at"""

_RECORD = """
SELECT r.key, array(SELECT d.decision FROM decision_records d
    WHERE d.family = r.family AND d.key = r.key AND (d.epoch, d.n) <= ($3::integer, $4::bigint)) AS decisions
FROM records r WHERE r.family = $1 AND r.key >= $2 AND r.key <= $2 || repeat('f', 48)
    AND starts_with(r.key, $2)"""

# Of the whole person, by whichever of their ids they are named: they may have been merged since. By an address only
# those of whom the company has it.
_KEYS = f"""
WITH RECURSIVE seed (id) AS (
    SELECT n.customer FROM customer_refs n LEFT JOIN customers c ON c.id = n.customer
    WHERE n.ref = ANY ($1::text[]) AND (NOT starts_with(n.ref, 'p:') OR {has_address("c", "n.ref", "$3::text")})
), {PERSON}
SELECT DISTINCT substr(ref, length($2) + 1) AS key FROM customer_refs
WHERE customer = ANY (array(SELECT id FROM person)) AND starts_with(ref, $2)"""  # noqa: S608 - constants of ours


_FORGET = "DELETE FROM clearances WHERE at < $1"


async def has_unreadable(conn: Conn, topics: Sequence[str]) -> bool:
    """Whether an unreadable message on one of these topics, in quarantine, may be a *no* of anybody."""
    return bool(await conn.fetchval(_UNREADABLE, topics))


async def lock(conn: Conn, company: str, refs: Sequence[str]) -> set[str]:
    """Lock out decisions about the company's customers whom these refs name; returns the refs that are locked."""
    return {row["ref"] for row in await conn.fetch(_LOCK, refs, Ref.of_party(Party.company(company), ""))}


async def lock_points(conn: Conn, refs: Sequence[str]) -> None:
    """Lock out decisions about addresses that nobody known has, and other clearances of them."""
    await conn.execute(_LOCK_POINTS, refs)


async def load(conn: Conn, company: str, refs: Sequence[str], locked: set[str]) -> ClearanceHolders:
    """Whom the refs name, with the company's records of them, read after the lock. Raises SubjectsMovedError."""
    family = Party.company(company)
    found = ClearanceHolders({}, set())
    for ref, customer, key, epoch, n, body, owed in await conn.fetch(
        _LOAD, refs, Ref.of_party(family, ""), family
    ):
        if key is not None and Ref.customer(customer) not in locked:
            raise SubjectsMovedError
        if body is None:
            found.elsewhere.add(ref)
        else:
            found.holders.setdefault(ref, []).append(Holder(key, Version(epoch, n), body, owed))
    return found


async def said(conn: Conn, refs: Sequence[str]) -> list[tuple[str, RecordedDecision]]:
    """Decisions by ref: those given for this very ref, or by an erased person who had it."""
    rows = await conn.fetch(_SAID, refs)
    return [(row["asked"], decision_of(dict(row), known_by=row["known_by"])) for row in rows]


async def add(conn: Conn, part: ClearancePart, asked: ClearanceRequest, results: Sequence[Result]) -> None:
    """Record what is about to be answered. The answer has to outlive this server: where commits do not wait for the
    disk, this one does. Raises EpochNotOpenError.
    """
    entries = [_entry(result, holder) for result in results for holder in (result.holder, *result.others)]
    epoch = await conn.fetchval(
        _ADD, part.id, part.number, *asked, part.at, part.valid_until, b"".join(entries)
    )
    if epoch is None:
        raise EpochNotOpenError


async def at(
    conn: Conn, company: str, campaign: str, when: datetime, refs: Sequence[str], address: str | None = None
) -> list[ClearedRecipient]:
    """The recorded answers that were valid then and are about any of these refs, or about the company's customers whom
    they name. With the ref of an address, none about another address.
    """
    prefix = Ref.of_party(Party.company(company), "")
    keys = {bytes.fromhex(row["key"])[:8] for row in await conn.fetch(_KEYS, refs, prefix, company)}
    asked = {_hash(ref) for ref in refs}
    rows = await conn.fetch(_AT, company, campaign, when)
    # A million recipients take half a second, in which nobody else would be answered.
    return await beside(_matching, rows, asked, keys, _address(address))


async def record(conn: Conn, family: str, entry: ClearedRecipient) -> tuple[str, list[UUID]]:
    """The key of the record that decided, and the decisions that its version showed."""
    assert entry.key is not None
    row = await conn.fetchrow(_RECORD, family, entry.key, *entry.version)
    return (row["key"], row["decisions"]) if row else (entry.key, [])


async def forget(conn: "Conn | Pool", before: datetime) -> None:
    """Delete the record of clearances that were given before."""
    await conn.execute(_FORGET, before)


def _hash(ref: str) -> bytes:
    """Refs hold encrypted digests and keyed hashes, so nobody finds an address by trying."""
    return hashlib.sha256(ref.encode()).digest()[:8]


def _entry(result: Result, holder: Holder | None) -> bytes:
    key = bytes.fromhex(holder.key)[:8] if holder else _NOBODY
    epoch, n = holder.version if holder else (0, 0)
    return _ENTRY.pack(_hash(result.ref), key, _CODES[result.reason], epoch, n, _address(result.address))


def _address(ref: str | None) -> bytes:
    return _hash(ref) if ref else _NO_ADDRESS


def _matching(
    rows: Sequence[asyncpg.Record], asked: set[bytes], keys: set[bytes], address: bytes
) -> list[ClearedRecipient]:
    found = []
    for row in rows:
        for ref, key, code, epoch, n, about in _ENTRY.iter_unpack(row["recipients"]):
            another = _NO_ADDRESS not in (address, about) and about != address
            if (ref in asked or key in keys) and not another:
                known = None if key == _NOBODY else key.hex()
                request = ClearanceRequest(*(row[name] for name in ClearanceRequest._fields))
                found.append(
                    ClearedRecipient(
                        row["id"],
                        request,
                        row["at"],
                        row["valid_until"],
                        _REASONS[code],
                        known,
                        Version(epoch, n),
                    )
                )
    return found
