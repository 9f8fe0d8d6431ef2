"""The audit-trail entry of the running request or command.

It is written in the first transaction that commits (`pool.transaction`), so that there is no change without its entry
and no entry without its change. If nothing was changed, it is written before the answer is sent
(`audit_trail/middleware.py`).
"""

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

_current: ContextVar["AuditEntry | None"] = ContextVar("audit_entry", default=None)

_INSERT = """
INSERT INTO audit_trail (actor, company, roles, action, subjects, why, outcome, rule, detail, trace)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10)"""


@dataclass(slots=True)
class AuditEntry:
    """`who`: actor, company and roles; None while nobody is identified. `named`: the ids that the caller named."""

    action: Callable[[], str]
    who: Callable[[], tuple[str, str | None, list[str]] | None]
    named: Callable[[], Iterable[UUID]]
    why: str | None = None
    trace: str | None = None
    about: set[UUID] = field(default_factory=set)
    written: bool = False

    async def write(
        self,
        conn: Any,
        outcome: str = "ok",
        rule: str | None = None,
        detail: Mapping[str, int] | None = None,
    ) -> bool:
        """Insert the entry; False if nobody is identified. `conn`: a connection or pool."""
        if (who := self.who()) is None:
            return False
        await conn.execute(
            _INSERT,
            *who,
            self.action(),
            sorted({*self.named(), *self.about}),
            self.why,
            outcome,
            rule,
            orjson.dumps(dict(detail)).decode() if detail else None,
            self.trace,
        )
        return True


def begin(entry: AuditEntry) -> None:
    """Make the entry current: what this task and its children commit from now on belongs to it."""
    _current.set(entry)


def current() -> AuditEntry | None:
    return _current.get()


def about(*subjects: UUID | None) -> None:
    """Add these customers, decisions or campaigns to the entry of the running request or command."""
    if (entry := _current.get()) is not None:
        entry.about.update(ident for ident in subjects if ident is not None)


async def counted(conn: Any, **counts: int) -> None:
    """Insert another entry of the running request or command, with its counts."""
    if (entry := _current.get()) is not None:
        await entry.write(conn, detail=counts)
