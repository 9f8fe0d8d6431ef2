"""The audit trail around the application: every request of an identified caller leaves an entry.

The entry names its action by the route, never by the path, and its subjects by the ids in the path. It is written
before the answer is sent, unless the transaction of the request wrote it (`database/audit_entry.py`).
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from uuid import UUID

import asyncpg
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kielto.service.database import audit_entry
from kielto.service.database.audit_entry import AuditEntry
from kielto.service.database.pool import AWAY, Pool
from kielto.service.http.auth import Caller
from kielto.service.http.middleware import respond
from kielto.service.http.problem import ProblemError, invalid_request, unavailable
from kielto.service.http.throttle import too_many
from kielto.service.support import tracing
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.shares import CrowdedError
from kielto.validation import FieldRule

_WHY = re.compile(r"[A-Za-z][A-Za-z0-9._:/#-]{0,59}")
ACTOR = 200
_UNWRITABLE = (*AWAY, asyncpg.ReadOnlySQLTransactionError)
"""The database is away, or follows another one."""
_UNWRITTEN = unavailable(
    "audit-unavailable", "The audit trail cannot be written, so the request is not answered: retry later"
)
_UNUSABLE_REASON = invalid_request(
    FieldRule(
        "X-Reason",
        "must be a code or a ticket's name: a letter, then at most 59 of letters, digits and . _ : / # -",
    )
)


class AuditTrail:
    """ASGI middleware. `keys`: by which a company's own ids are led back; without them only ours are."""

    def __init__(self, app: ASGIApp, *, pool: Pool, keys: Keys | None) -> None:
        self._app, self._pool, self._keys = app, pool, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        why = Headers(scope=scope).get("x-reason")
        if why is not None and not _WHY.fullmatch(why):
            await respond(_UNUSABLE_REASON, scope, receive, send)
            return
        trace = tracing.current()
        entry = AuditEntry(
            lambda: f"{scope['method']} {scope['route'].path}",
            lambda: _who(scope),
            lambda: _named(scope, self._keys),
            why,
            tracing.trace_id(trace) if trace else None,
        )
        audit_entry.begin(entry)
        answer = _Answer(self._pool, entry, scope, receive, send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            if "route" in scope:
                # What failed is told, not that its entry failed too.
                with suppress(*_UNWRITABLE, CrowdedError):
                    await entry.write(self._pool, "failed", "500")
            raise


class _Answer:
    """Sends the answer once its entry is written. If that fails: 503; or 429 when the party has no turn left, in which
    case a refusal goes out without an entry.
    """

    def __init__(self, pool: Pool, entry: AuditEntry, scope: Scope, receive: Receive, send: Send) -> None:
        self._pool, self._entry = pool, entry
        self._scope, self._receive, self._send = scope, receive, send
        self._withheld = False

    async def send(self, message: Message) -> None:
        if self._withheld:
            return
        if message["type"] == "http.response.start" and "route" in self._scope:
            try:
                await self._write(message)
            except CrowdedError:
                if message["status"] < 400:
                    await self._instead(too_many())
                    return
            except _UNWRITABLE:
                if message["status"] < 500:
                    await self._instead(_UNWRITTEN)
                    return
        await self._send(message)

    async def _instead(self, problem: ProblemError) -> None:
        self._withheld = True
        await respond(problem, self._scope, self._receive, self._send)

    async def _write(self, message: Message) -> None:
        status, entry = message["status"], self._entry
        if entry.written and status < 400:
            return
        outcome = "ok" if status < 400 else "failed" if status >= 500 else "refused"
        if any(name == b"idempotency-replayed" for name, _ in message["headers"]):
            outcome = "repeated"
        rule = self._scope.get("state", {}).get("refused") or str(status) if status >= 400 else None
        entry.written = await entry.write(self._pool, outcome, rule)


def _who(scope: Scope) -> tuple[str, str | None, list[str]] | None:
    caller: Caller | None = scope.get("state", {}).get("caller")
    if caller is None or "route" not in scope:
        return None
    return caller.subject.replace("\0", "")[:ACTOR], caller.company, sorted(caller.roles)


def _named(scope: Scope, keys: Keys | None) -> Iterator[UUID]:
    """The ids in the path as our own; a company's ids are translated."""
    caller: Caller | None = scope.get("state", {}).get("caller")
    party = caller.party if caller else None
    for value in scope.get("path_params", {}).values():
        ident = as_uuid(value)
        if ident is None and party and keys is not None and isinstance(value, str) and len(value) == 64:
            ident = keys.from_pairwise(party, value)
        if ident is not None:
            yield ident


def as_uuid(value: Any) -> UUID | None:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value) if isinstance(value, str) and len(value) == 36 else None
    except ValueError:
        return None
