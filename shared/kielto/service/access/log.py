"""The audit trail of a service: every request of somebody who is identified leaves an entry, and every command.

Around the application: it names the entry's action by the route, never by the path; its subjects by the path's ids; and
writes it before the answer is given, where no transaction did (`access_entry`).
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kielto.events.base import Ident, Moment
from kielto.service.database import access_entry
from kielto.service.database.access_entry import AccessEntry
from kielto.service.database.pool import AWAY, Pool
from kielto.service.http import cursors
from kielto.service.http.auth import Caller, require
from kielto.service.http.middleware import respond
from kielto.service.http.problem import FieldError, ProblemError, invalid_request
from kielto.service.http.strict_route import StrictRoute
from kielto.service.http.throttle import too_many
from kielto.service.support import tracing
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.shares import CrowdedError

_WHY = re.compile(r"[A-Za-z][A-Za-z0-9._:/#-]{0,59}")
_ACTOR = 200
_UNWRITABLE = (*AWAY, asyncpg.ReadOnlySQLTransactionError)
"""The database is away, or follows another one."""


class AccessLog:
    """ASGI middleware. `keys`: by which a company's own ids are led back; without them only ours are."""

    def __init__(self, app: ASGIApp, *, pool: Pool, keys: Keys | None) -> None:
        self._app, self._pool, self._keys = app, pool, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        why = Headers(scope=scope).get("x-reason")
        if why is not None and not _WHY.fullmatch(why):
            await respond(_unusable_reason(), scope, receive, send)
            return
        trace = tracing.current()
        entry = AccessEntry(
            lambda: _action(scope),
            lambda: _who(scope),
            lambda: _named(scope, self._keys),
            why,
            tracing.trace_id(trace) if trace else None,
        )
        access_entry.begin(entry)
        answer = _Answer(self._pool, entry, scope, receive, send)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            if "route" in scope:
                with suppress(
                    *_UNWRITABLE, CrowdedError
                ):  # what failed is told, not that its entry failed too
                    await entry.write(self._pool, "failed", "500")
            raise


class _Answer:
    """Lets an answer out once its entry is written; 503 instead when it cannot be, 429 when the party has no turn left
    to write it: a refusal then goes out without.
    """

    def __init__(self, pool: Pool, entry: AccessEntry, scope: Scope, receive: Receive, send: Send) -> None:
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
                    await self._instead(_unwritten())
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


def _action(scope: Scope) -> str:
    return f"{scope['method']} {scope['route'].path}"


def _who(scope: Scope) -> tuple[str, str | None, list[str]] | None:
    caller: Caller | None = scope.get("state", {}).get("caller")
    if caller is None or "route" not in scope:
        return None
    return caller.subject.replace("\0", "")[:_ACTOR], caller.company, sorted(caller.roles)


def _named(scope: Scope, keys: Keys | None) -> Iterator[UUID]:
    """Our own ids in the path; a company's are led back to them."""
    caller: Caller | None = scope.get("state", {}).get("caller")
    party = caller.party if caller else None
    for value in scope.get("path_params", {}).values():
        ident = _uuid(value)
        if ident is None and party and keys is not None and isinstance(value, str) and len(value) == 64:
            ident = keys.from_pairwise(party, value)
        if ident is not None:
            yield ident


def _uuid(value: Any) -> UUID | None:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value) if isinstance(value, str) and len(value) == 36 else None
    except ValueError:
        return None


def _unusable_reason() -> ProblemError:
    rule = "must be a code or a ticket's name: a letter, then at most 59 of letters, digits and . _ : / # -"
    return invalid_request(FieldError("X-Reason", rule))


def _unwritten() -> ProblemError:
    return ProblemError(
        503,
        "audit-unavailable",
        "The audit trail cannot be written, so nothing is answered. Try again.",
        headers={"Retry-After": "1"},
    )


class EntryBody(BaseModel):
    at: datetime
    actor: str = Field(description="The token's subject, or `operator:<name>` of a command.")
    company: str | None = Field(description="The company that the token was for; null: the group.")
    roles: list[str]
    action: str = Field(examples=["GET /customers/{ident}", "command erase"])
    subjects: list[str] = Field(description="Customers, decisions or campaigns; a company's own ids of them.")
    why: str | None = Field(description="The request's `X-Reason`.")
    outcome: str = Field(description="`ok`, `refused`, `failed`, or `repeated`: an answer given again.")
    rule: str | None = Field(description="Of a refusal: its type, and the fields that it named.")
    detail: dict[str, int] | None
    trace: str | None = Field(description="The request's trace id; to the group only.")


class Page(BaseModel):
    items: list[EntryBody]
    next: str | None = Field(description="The cursor of the next page; null on the last one.")


Officer = Annotated[Caller, Depends(require("dpo"))]


def router(name: str, pool: Pool, keys: Keys | None) -> APIRouter:
    """`GET /<name>/audit`. In marketing companies know campaigns by the group's ids; elsewhere by their own."""
    routes = APIRouter(route_class=StrictRoute, prefix=f"/{name}", tags=["audit trail"])
    pairwise = name != "marketing"

    @routes.get("/audit")
    async def audit(
        caller: Officer,
        subject: Annotated[str | None, Query(max_length=64)] = None,
        company: Annotated[Ident | None, Query()] = None,
        actor: Annotated[str | None, Query(max_length=_ACTOR, pattern=r"^[^\x00]*$")] = None,
        action: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
        since: Annotated[Moment | None, Query(alias="from")] = None,
        until: Annotated[Moment | None, Query(alias="to")] = None,
        cursor: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Page:
        """Who read, changed or was refused what; the newest first. A company's officer sees the entries of that
        company's own tokens. Asking leaves an entry itself.
        """
        if company is not None:
            caller.must_act_for(company)
        whose = caller.party
        party = whose if pairwise and keys is not None else None
        about = None
        if subject is not None:
            about = keys.from_pairwise(party, subject) if party and keys is not None else _uuid(subject)
            if about is None:
                return Page(items=[], next=None)
        rows = await pool.fetch(
            _FIND,
            caller.company or company,
            about,
            actor,
            action,
            since,
            until,
            cursors.take(keys, whose, cursor) if cursor and keys is not None else None,
            limit,
        )
        shown = (lambda ident: keys.pairwise(party, ident)) if party and keys is not None else str
        items = [_body(row, shown, trace=caller.company is None) for row in rows]
        end = cursors.give(keys, whose, rows[-1]["id"]) if keys is not None and len(rows) == limit else None
        return Page(items=items, next=end)

    return routes


def _body(row: asyncpg.Record, shown: Any, *, trace: bool) -> EntryBody:
    return EntryBody(
        at=row["at"],
        actor=row["actor"],
        company=row["company"],
        roles=row["roles"],
        action=row["action"],
        subjects=[shown(ident) for ident in row["subjects"]],
        why=row["why"],
        outcome=row["outcome"],
        rule=row["rule"],
        detail=orjson.loads(row["detail"]) if row["detail"] else None,
        trace=row["trace"] if trace else None,
    )


_FIND = """
SELECT id, at, actor, company, roles, action, subjects, why, outcome, rule, detail, trace FROM audit_trail
WHERE ($1::text IS NULL OR company = $1)
    AND ($2::uuid IS NULL OR subjects @> ARRAY[$2::uuid])
    AND ($3::text IS NULL OR actor = $3)
    AND ($4::text IS NULL OR action = $4)
    AND ($5::timestamptz IS NULL OR at >= $5)
    AND ($6::timestamptz IS NULL OR at < $6)
    AND ($7::bigint IS NULL OR id < $7)
ORDER BY id DESC LIMIT $8"""


async def forget_old(pool: Pool, days: int) -> None:
    """Entries are kept for so many days; the database lets none go before a year."""
    await pool.execute("DELETE FROM audit_trail WHERE at < now() - make_interval(days => $1)", days)
