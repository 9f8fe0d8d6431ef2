"""Verify the log of decisions against itself, its signatures, and a head that somebody kept elsewhere.

Everything is computed again: each commitment from the decision's row and salt, the tree from the leaves, each head from
the tree. Findings name the decision, the leaf or the batch. A head that holds is consistent with all before it.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from kielto import merkle, seals
from kielto.seals import Head, Keys, SealRefusedError
from kielto.service.database.pool import Conn
from services.consents.store.decision_log import pages
from services.consents.store.decision_log.commitment import commitment_of
from services.consents.use_cases.context import Context
from services.consents.use_cases.decision_log.append import erasure

_LATE = timedelta(hours=1)
_GAP = 1_000_000
"""The largest gap of missing leaves that is filled in: above a larger one, which somebody made, places are lost."""


@dataclass(slots=True)
class LogReport:
    """`findings`: what is wrong. `late`: decisions signed long after their receipt: an outage, or inserted later."""

    leaves: int = 0
    heads: int = 0
    waiting: int = 0
    late: int = 0
    erased: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


async def verify(
    context: Context, keys: Keys, anchor: Head | None, progress: Callable[[int, int], None]
) -> LogReport:
    """Verify the whole log. `progress` is called with the number of leaves done and of all."""
    async with context.pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
        run = _Check(conn, keys, anchor)
        total = await pages.count(conn)
        heads = pages.heads(conn)
        await run.next_head(heads)
        async for rows in pages.leaves(conn):
            for row in rows:
                run.leaf(row)
                while run.head_is_due():
                    run.check_head()
                    await run.next_head(heads)
            await run.check_nodes()
            progress(run.tree.size, total)
        while run.signed is not None:
            run.found(f"batch {run.signed.batch}: its leaves, up to {run.signed.size - 1}, are missing")
            await run.next_head(heads)
        await run.check_rest()
    return run.report


class _Check:
    def __init__(self, conn: Conn, keys: Keys, anchor: Head | None) -> None:
        self._conn, self._keys, self._anchor = conn, keys, anchor
        self.report, self.tree = LogReport(), merkle.Tree()
        self.signed: pages.Signed | None = None
        self._last: Head | None = Head(0, 0, merkle.EMPTY.hex(), 0, merkle.EMPTY.hex(), 0, "")
        self._batch, self._covered = 0, 0
        self._completed: list[tuple[merkle.Node, bytes]] = []
        self._nodes = 0
        self._root_differs = self._stopped = False
        self._received: list[datetime] = []

    def found(self, what: str) -> None:
        self.report.findings.append(what)

    def leaf(self, row: Any) -> None:
        if self._stopped or not self._reach(row["index"]):
            return
        self._said(row, f"decision {row['of']} (leaf {row['index']})")
        self._append(merkle.leaf_hash(row["leaf"]))
        if row["received_at"] is not None:
            self._received.append(row["received_at"])
        self.report.leaves += 1

    def _reach(self, index: int) -> bool:
        """Fill in what is missing below a leaf, so that those above keep their places; not if that is too much."""
        missing = range(self.tree.size, index)
        if missing:
            which = (
                f"leaf {index - 1}: is" if len(missing) == 1 else f"leaves {missing[0]} to {index - 1}: are"
            )
            self._stopped = len(missing) > _GAP
            self.found(f"{which} missing{'; nothing from there on is checked' if self._stopped else ''}")
        if not self._stopped:
            for _ in missing:
                self._append(merkle.EMPTY)
        return not self._stopped

    def _append(self, hash_: bytes) -> None:
        self._completed += self.tree.append(hash_)
        anchor = self._anchor
        if anchor and self.tree.size == anchor.size and self.tree.root().hex() != anchor.root:
            self.found(f"anchor: the first {anchor.size} leaves are not those that it was signed for")

    def _said(self, row: Any, name: str) -> None:
        if row["erased_at"] is not None and row["salt"] is None:
            self._erased(row, name)
        elif row["id"] is None:
            self.found(f"{name}: its row is gone")
        elif row["salt"] is None:
            self.found(f"{name}: its salt is gone, and no erasure is recorded")
        elif row["leaf"] is not None and commitment_of(row, row["salt"]) != row["leaf"]:
            self.found(f"{name}: is not what was committed when it was received")

    def _erased(self, row: Any, name: str) -> None:
        try:
            said = seals.opened(row["signed"] or "", self._keys, seals.ERASURE)
        except SealRefusedError as error:
            self.found(f"{name}: its erasure: {error}")
            return
        if said != erasure(row["of"], row["erased_at"], row["why"]):
            self.found(f"{name}: its erasure: was signed for another one")
        gone = "; its row is gone" if row["id"] is None else ""
        self.report.erased.append(f"{name}: erased {row['erased_at']:%Y-%m-%d %H:%M} UTC, {row['why']}{gone}")

    def head_is_due(self) -> bool:
        return self.signed is not None and self.tree.size >= self.signed.size

    async def next_head(self, heads: AsyncIterator[pages.Signed]) -> None:
        self.signed = await anext(heads, None)
        if self.signed is None:
            return
        while self._batch + 1 < self.signed.batch:
            self._batch += 1
            self._last = None
            self.found(f"batch {self._batch}: its head is missing")
        self._batch = self.signed.batch

    def check_head(self) -> None:
        signed, first, self._covered = self.signed, self._covered, self.tree.size
        assert signed is not None
        name = f"batch {signed.batch} (leaves {first} to {signed.size - 1})"
        self.report.heads += 1
        before = self._last
        try:
            head = self._last = seals.read_head(signed.head, self._keys)
        except SealRefusedError as error:
            self._last = None
            self.found(f"{name}: its head: {error}")
            return
        if (head.batch, head.size) != (signed.batch, signed.size):
            self.found(f"{name}: its head: was signed for batch {head.batch} with {head.size} leaves")
        elif self.tree.root().hex() != head.root and not self._root_differs:
            self._root_differs = True
            self.found(
                f"{name}: changed, missing, added or in another order than signed; no later head holds"
            )
        if before and (head.previous_size, head.previous_root) != (before.size, before.root):
            self.found(f"{name}: its head does not go on from the one before")
        signed_at = datetime.fromisoformat(head.signed_at)
        self.report.late += sum(signed_at - at > _LATE for at in self._received)
        self._received.clear()

    async def check_nodes(self) -> None:
        kept = await pages.nodes(self._conn, [node for node, _ in self._completed])
        for node, hash_ in self._completed:
            if kept.get(node) != hash_:
                self.found(f"node {node.place} of height {node.height}: is not what its leaves make")
        self._nodes += len(self._completed)
        self._completed.clear()

    async def check_rest(self) -> None:
        """Check decisions outside of the tree, and the end of the log."""
        for index in range(self._covered, self.tree.size):
            self.found(f"leaf {index}: no head covers it")
        if self._anchor and self.tree.size < self._anchor.size:
            size = self.tree.size
            self.found(f"anchor: the log has {size} leaves, the anchor {self._anchor.size}: its end is gone")
        if await pages.count_nodes(self._conn) != self._nodes:
            self.found(f"nodes: there are others than the {self._nodes} of the tree")
        waiting = await pages.waiting(self._conn)
        self.report.waiting = len(waiting)
        seen: set[UUID] = set()
        for row in waiting:
            self._said(row, f"decision {row['of']} (not sealed yet)")
            if row["sealed"] or row["of"] in seen:
                self.found(f"decision {row['of']}: waits to be sealed a second time, which stops all sealing")
            seen.add(row["of"])
        for decision in await pages.outside(self._conn):
            self.found(f"decision {decision}: is neither sealed nor waiting to be: it was put in")
