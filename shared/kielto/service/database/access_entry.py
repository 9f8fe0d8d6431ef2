"""The entry of the audit trail that the request or command at hand is to leave.

It is written in the first transaction that commits (`postgres.transaction`), so that no change is without its entry and
no entry without its change; where nothing was changed, before the answer is given (`access_log`).
"""

from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

_current: ContextVar["AccessEntry | None"] = ContextVar("access_entry", default=None)

_INSERT = """
INSERT INTO audit_trail (actor, company, roles, action, subjects, why, outcome, rule, detail, trace)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10)"""


@dataclass(slots=True)
class AccessEntry:
    """`who`: actor, company and roles; None while nobody is identified. `named`: subjects that the caller named."""

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
        """Whether there was anybody to write of. `conn`: a connection or pool."""
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


def begin(entry: AccessEntry) -> None:
    """Whatever this task and those that it starts commit from now on belongs to the entry."""
    _current.set(entry)


def current() -> AccessEntry | None:
    return _current.get()


def about(*subjects: UUID | None) -> None:
    """The request or command at hand concerns these customers, decisions or campaigns, too."""
    if (entry := _current.get()) is not None:
        entry.about.update(ident for ident in subjects if ident is not None)


async def counted(conn: Any, **counts: int) -> None:
    """A further entry of the request or command at hand, with what it came to."""
    if (entry := _current.get()) is not None:
        await entry.write(conn, detail=counts)
