"""Seal what was decided: a batch of new leaves and a signed head of the tree, all in one transaction.

Killed anywhere, nothing of a batch is there. Several processes may try: one at a time seals, by a lock that ends with
the transaction.
"""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import structlog
from joserfc.jwk import OKPKey

from kielto import merkle, seals
from kielto.errors import KieltoError
from kielto.merkle import Tree
from kielto.seals import Head, SealRefusedError
from kielto.service.database.pool import Conn, Pool, transaction
from kielto.service.support.crypto_keys import KeysError
from services.consents import metrics
from services.consents.model.commitment import commit, instant
from services.consents.store.decision_log import seals as store
from services.consents.store.decision_log.seals import UnsealedDecision
from services.consents.use_cases.context import Context

log = structlog.get_logger(__name__)

_BATCH = 5000
_LOG_AGAIN_SECONDS = 60.0


class BrokenLogError(KieltoError):
    """The log is not what was signed: nothing more is sealed until it is looked at (`seals verify`)."""


async def seal_for_ever(pool: Pool, context: Context, seconds: float) -> None:
    """Raises BrokenLogError, among others: then begin again."""
    while True:
        metrics.unsealed_decisions.set(await _count(pool))  # before anything can go wrong
        try:
            key = context.keys.seal_key
        except KeysError as error:
            log.warning("decisions are not sealed", error=str(error))
            await asyncio.sleep(_LOG_AGAIN_SECONDS)
            continue
        while await seal(pool, key) == _BATCH:
            pass
        metrics.unsealed_decisions.set(await _count(pool))
        await asyncio.sleep(seconds)


async def erase(pool: Pool, key: OKPKey, decision: UUID, why: str) -> bool:
    """Forget the salt of a sealed decision: the decision holds as before, nothing can be proven of it any more.

    Signed, since whoever can delete a row could write that it was erased. Whether there was a salt.
    """
    at = datetime.now(UTC)
    signed = seals.sign(erasure(decision, at, why), key, seals.ERASURE)
    async with transaction(pool) as conn:
        await store.note_key(conn, key.thumbprint(), seals.public_key(key))
        return await store.erase(conn, decision, why, at, signed)


def erasure(decision: UUID, at: datetime, why: str) -> dict[str, str]:
    """What is signed of an erasure."""
    return {"decision": str(decision), "erased_at": instant(at), "why": why}


async def seal(pool: Pool, key: OKPKey, limit: int = _BATCH) -> int:
    """Seal the next batch; how many decisions it has: 0 when there are none, or another process is sealing.

    Raises BrokenLogError.
    """
    async with transaction(pool) as conn:
        number = await conn.fetchval("SELECT epoch FROM current_epoch WHERE checked")
        if number is None or not await store.alone(conn):
            return 0  # in a restored database no head is signed under the number of the epoch that it lost
        taken = await store.waiting(conn, limit)
        if not taken:
            return 0
        await store.note_key(conn, key.thumbprint(), seals.public_key(key))
        last, tree = await _log(conn)
        entries = await _committed(conn, taken)
        if not entries:
            return 0
        completed = []
        for _, commitment in entries:
            completed += tree.append(merkle.leaf_hash(commitment))
        head = Head(
            batch=last.batch + 1,
            size=tree.size,
            root=tree.root().hex(),
            previous_size=last.size,
            previous_root=last.root,
            epoch=number,
            signed_at=instant(datetime.now(UTC)),
        )
        signed = seals.sign(head._asdict(), key, seals.HEAD)
        await store.append(conn, last.size, entries, completed, (head.batch, head.size, signed))
    metrics.sealed_decisions.inc(len(entries))
    return len(entries)


async def _log(conn: Conn) -> tuple[Head, Tree]:
    """The last head, and the tree as it stands, which must be what that head says."""
    token = await store.last_head(conn)
    if token is None:
        return Head(0, 0, merkle.EMPTY.hex(), 0, merkle.EMPTY.hex(), 0, ""), Tree()
    try:
        head = seals.read_head(token, seals.key_set({"keys": await store.keys(conn)}))
        tree = Tree(head.size, await store.edge(conn, head.size))
    except (SealRefusedError, LookupError) as error:
        raise BrokenLogError(str(error)) from None
    if tree.root().hex() != head.root:
        raise BrokenLogError(f"the tree of {head.size} leaves is not what was signed")
    return head, tree


async def _committed(conn: Conn, taken: list[UnsealedDecision]) -> list[tuple[UnsealedDecision, bytes]]:
    """With their commitments; those of decisions from before there were seals are made now. One that is gone goes on
    waiting, for `seals verify` to find."""
    rows = await store.rows_of(conn, [entry.decision for entry in taken if entry.commitment is None])
    entries = []
    for entry in taken:
        if entry.commitment is not None:
            entries.append((entry, entry.commitment))
        elif entry.decision in rows:
            row = rows[entry.decision]
            entries.append((entry, commit(row, row["salt"])))
    return entries


async def _count(pool: Pool) -> int:
    async with pool.acquire() as conn:
        return await store.count_waiting(conn)
