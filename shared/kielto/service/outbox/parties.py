"""Which parties are in the group and which have left, as the database remembers it, and the consequences of a change.

At start each process compares its group file with the database. A party that is missing has left: nothing is published
for it, but its records stay. When it returns, what changed meanwhile is published before the first heartbeat, and all
its records are recomputed (docs/decisions/0030-parties-that-left.md).
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import structlog

from kielto.errors import KieltoError
from kielto.events.topics import Family
from kielto.group import Group
from kielto.service.database.advisory_locks import Lock, wait_for
from kielto.service.database.epoch import EpochNotOpenError
from kielto.service.database.pool import AWAY, Conn, Pool, transaction
from kielto.service.outbox import backfills
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.supervise import supervise

log = structlog.get_logger(__name__)

_NOBODY = UUID(int=0)

Step = Callable[[Conn, UUID], Awaitable[UUID | None]]
"""Compute the next records behind this customer in the caller's transaction; returns the last customer's id, None at
the end.
"""


class OtherKeysError(KieltoError):
    """The keys file has another id key for a party than the one this database was filled with."""


_SEEN = """
INSERT INTO group_seen AS g (revision, facts, walked) VALUES ($1, $2, $2)
ON CONFLICT (one) DO UPDATE SET
    revision = excluded.revision, facts = excluded.facts,
    walked = CASE WHEN g.facts = excluded.facts THEN g.walked ELSE '' END, -- also when it is as it once was
    cursor = CASE WHEN g.facts = excluded.facts THEN g.cursor END
WHERE g.revision <= excluded.revision
RETURNING true"""

_RETURNED = "SELECT party FROM parties WHERE party = ANY($1::text[]) AND left_at IS NOT NULL"

_HERE = """
INSERT INTO parties AS p (party, key_check) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (party) DO UPDATE SET
    key_check = coalesce(p.key_check, excluded.key_check), left_at = NULL, stale = p.stale OR p.left_at IS NOT NULL"""

_GONE = """
UPDATE parties SET left_at = now(), stale = false
WHERE party <> ALL($1::text[]) AND left_at IS NULL RETURNING party"""

_LEFT = "SELECT party FROM parties WHERE party <> ALL($1::text[])"

# What changed while it was away, before the first beat: by express, since anything of it may be a ban.
_MARK = """
INSERT INTO marks (lane, family, key)
SELECT CASE WHEN r.family = p.party THEN 'express' ELSE 'bulk' END, r.family, r.key
FROM parties p JOIN records r ON r.family IN (p.party, p.party || '.customers')
WHERE p.party = $1 AND r.changed_at >= p.left_at"""


async def note(pool: Pool, group: Group, keys: Keys) -> frozenset[str]:
    """Store the parties of the group file and return those that have left, as `company.<id>` or `partner.<id>`. Raises
    OtherKeysError.

    A group file of a lower revision than the last one changes nothing: its process is about to be replaced.
    """
    here = list(group.parties)
    async with transaction(pool) as conn:
        await wait_for(conn, Lock.PARTIES, in_transaction=True)
        if await conn.fetchval(_SEEN, group.revision, _facts(group)):
            await _check_keys(conn, here, keys)
            for party in await _parties(conn, _RETURNED, here):
                await conn.execute(_MARK, party)
                log.warning("group.party_returned", party=party)
            checks = [_check(keys, party) for party in here]
            await conn.execute(_HERE, here, checks)
            for party in await _parties(conn, _GONE, here):
                await _leave(conn, party, keys)
                log.warning("group.party_left", party=party)
        return frozenset(await _parties(conn, _LEFT, here))


async def left(pool: Pool, group: Group) -> frozenset[str]:
    """The parties that have left, without changing the database: for commands."""
    async with pool.acquire() as conn:
        return frozenset(await _parties(conn, _LEFT, list(group.parties)))


async def compute_anew(
    pool: Pool, families: Sequence[Family], step: Step, again: tuple[type[Exception], ...]
) -> None:
    """Recompute every record for the present group; continues where a killed process stopped.

    `again`: errors after which a step is repeated.
    """

    async def walk() -> None:
        while await _walk(pool, families, step):
            pass

    await supervise("records of the changed group", walk, (*again, *AWAY, EpochNotOpenError))


_WALK = "SELECT cursor FROM group_seen WHERE walked <> facts FOR UPDATE"

_ADVANCE = "UPDATE group_seen SET cursor = $1"


async def _walk(pool: Pool, families: Sequence[Family], step: Step) -> bool:
    """One step, in a transaction; False when there is nothing left to compute."""
    async with transaction(pool) as conn:
        row = await conn.fetchrow(_WALK)
        if row is None:
            return False
        after = await step(conn, row["cursor"] or _NOBODY)
        if after is None:
            await _finish(conn, families)
        else:
            await conn.execute(_ADVANCE, after)
    return True


# The time of leaving is the transaction's, like `left_at`.
_UNMARK = """
WITH gone AS (
    DELETE FROM marks WHERE family IN ($1, $1 || '.customers') RETURNING family, key
)
UPDATE records r SET changed_at = now() FROM gone WHERE r.family = gone.family AND r.key = gone.key"""


_ALL_GONE = "SELECT party FROM parties WHERE left_at IS NOT NULL"

_COMPUTED = "UPDATE parties SET stale = false WHERE stale RETURNING party"

_WALKED = "UPDATE group_seen SET walked = facts, cursor = NULL"


async def _finish(conn: Conn, families: Sequence[Family]) -> None:
    for party in await _parties(conn, _ALL_GONE):
        await conn.execute(_UNMARK, party)  # of processes that still had the older group file
    stale = set(await _parties(conn, _COMPUTED))
    for family in families:
        if family.name.removesuffix(".customers") in stale:
            await backfills.request(conn, family.name)
    await conn.execute(_WALKED)
    log.info("group.records_computed")


_UNSENT = "DELETE FROM reports WHERE starts_with(topic, $1 || '.')"

_NO_FINDINGS = """
UPDATE audit_findings SET state = 'gone', ended_at = now()
WHERE family IN ($1, $1 || '.customers') AND state = 'open'"""

_NO_VOIDS = "UPDATE voids SET state = 'gone' WHERE family IN ($1, $1 || '.customers') AND state = 'open'"

# Without its id key nobody finds a record again to erase it: nothing personal is left in any.
_BLANK = """
UPDATE records SET n = n + 1, changed_at = now(), body = json_build_object('subject', key)
WHERE family = $1 || '.customers' AND status <> 'erased'"""


async def _leave(conn: Conn, party: str, keys: Keys) -> None:
    """Delete what waits to be sent to it; records that were not published are remembered as changed since it left."""
    for statement in (_UNMARK, _UNSENT, _NO_FINDINGS, _NO_VOIDS):
        await conn.execute(statement, party)
    if not keys.knows(party):
        await conn.execute(_BLANK, party)


_CHECKS = "SELECT party, key_check FROM parties WHERE party = ANY($1::text[]) AND key_check IS NOT NULL"


async def _check_keys(conn: Conn, here: Sequence[str], keys: Keys) -> None:
    for row in await conn.fetch(_CHECKS, here):
        if (now := _check(keys, row["party"])) is not None and now != row["key_check"]:
            raise OtherKeysError(
                f"id_keys.{row['party']}: must be the key that this database was filled with: put it back, or give the "
                "party another id"
            )


def _check(keys: Keys, party: str) -> str | None:
    return keys.pairwise(party, _NOBODY) if keys.knows(party) else None


def _facts(group: Group) -> str:
    """A hash of the group's facts that records depend on."""
    facts = {"companies": sorted(group.company_ids), "partners": {p.id: sorted(p.of) for p in group.partners}}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


async def _parties(conn: Conn, statement: str, *arguments: object) -> list[str]:
    return [row["party"] for row in await conn.fetch(statement, *arguments)]
