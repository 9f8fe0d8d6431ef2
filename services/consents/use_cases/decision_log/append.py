"""Append decisions to the signed log: a batch of new leaves and a signed head of the tree, all in one transaction.

A killed process leaves nothing of a batch behind. Of several processes a lock lets one at a time append.
"""

import asyncio
from datetime import datetime
from uuid import UUID

import structlog
from joserfc.jwk import OKPKey

from kielto import merkle, seals
from kielto.errors import KieltoError
from kielto.service.database import epoch
from kielto.service.database.pool import Conn, transaction
from kielto.service.support.crypto_keys import KeysError
from services.consents import metrics
from services.consents.store.decision_log import seals as store
from services.consents.store.decision_log.commitment import instant
from services.consents.use_cases.context import Context

log = structlog.get_logger(__name__)

_BATCH = 5000
_LOG_AGAIN_SECONDS = 60.0


class BrokenLogError(KieltoError):
    """The log is not what was signed. Nothing is appended until an operator has looked at it (`seals verify`)."""


async def append_for_ever(context: Context) -> None:
    """Append a batch every few seconds until cancelled. Raises BrokenLogError, among others."""
    while True:
        # Before anything can go wrong.
        metrics.UNSEALED_DECISIONS.set(await store.count_waiting(context.pool))
        try:
            key = context.keys.seal_key
        except KeysError as error:
            log.warning("decision_log.no_key", error=str(error))
            await asyncio.sleep(_LOG_AGAIN_SECONDS)
            continue
        while await append(context, key) == _BATCH:
            pass
        metrics.UNSEALED_DECISIONS.set(await store.count_waiting(context.pool))
        await asyncio.sleep(context.settings.seal_seconds)


async def erase(context: Context, key: OKPKey, decision: UUID, why: str) -> bool:
    """Delete the salt of a decision in the log: the decision still holds, but can no longer be proven. False when there
    is no salt.

    The erasure is signed, since whoever can delete a row could also claim that it was erased.
    """
    at = context.clock()
    signed = seals.sign(erasure(decision, at, why), key, seals.ERASURE)
    async with transaction(context.pool) as conn:
        await store.note_key(conn, key.thumbprint(), seals.public_key(key))
        return await store.erase(conn, decision, why, at, signed)


def erasure(decision: UUID, at: datetime, why: str) -> dict[str, str]:
    """The signed statement that a decision's salt was erased."""
    return {"decision": str(decision), "erased_at": instant(at), "why": why}


async def append(context: Context, key: OKPKey, limit: int = _BATCH) -> int:
    """Sign the next batch; how many decisions: 0 if none wait or another process appends. Raises BrokenLogError."""
    async with transaction(context.pool) as conn:
        number = await epoch.checked(conn)
        if number is None or not await store.alone(conn):
            return 0  # in a restored database no head is signed under the number of the epoch that it lost
        taken = await store.waiting(conn, limit)
        if not taken:
            return 0
        await store.note_key(conn, key.thumbprint(), seals.public_key(key))
        last, tree = await _log(conn)
        completed = []
        for entry in taken:
            completed += tree.append(merkle.leaf_hash(entry.commitment))
        head = seals.Head(
            batch=last.batch + 1,
            size=tree.size,
            root=tree.root().hex(),
            previous_size=last.size,
            previous_root=last.root,
            epoch=number,
            signed_at=instant(context.clock()),
        )
        signed = seals.sign(head._asdict(), key, seals.HEAD)
        await store.append(conn, last.size, taken, completed, (head.batch, head.size, signed))
    metrics.SEALED_DECISIONS.inc(len(taken))
    return len(taken)


async def _log(conn: Conn) -> tuple[seals.Head, merkle.Tree]:
    """Return the last signed head and the tree in the database, and check that the head is the tree's."""
    token = await store.last_head(conn)
    if token is None:
        return seals.Head(0, 0, merkle.EMPTY.hex(), 0, merkle.EMPTY.hex(), 0, ""), merkle.Tree()
    try:
        head = seals.read_head(token, seals.key_set({"keys": await store.keys(conn)}))
        tree = merkle.Tree(head.size, await store.edge(conn, head.size))
    except (seals.SealRefusedError, LookupError) as error:
        raise BrokenLogError(str(error)) from None
    if tree.root().hex() != head.root:
        raise BrokenLogError(f"the tree of {head.size} leaves is not what was signed")
    return head, tree
