"""`GET /<service>/audit`: the audit trail, for the data protection officers; and the deletion of its old entries."""

from datetime import datetime
from typing import Annotated, Any

import asyncpg
import orjson
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from kielto.events.base import Ident, Moment
from kielto.service.audit_trail.middleware import ACTOR, as_uuid
from kielto.service.database.pool import Pool
from kielto.service.http import cursors
from kielto.service.http.auth import Caller, RoleCheck
from kielto.service.http.strict_route import StrictRoute
from kielto.service.support.crypto_keys import Keys


class AuditEntryBody(BaseModel):
    at: datetime
    actor: str = Field(description="The token's subject, or `operator:<name>` of a command.")
    company: str | None = Field(description="The company that the token was for; null: the group.")
    roles: list[str]
    action: str = Field(examples=["GET /customers/{ident}", "command erase"])
    subjects: list[str] = Field(
        description="Customers, decisions or campaigns; for a company by its own ids."
    )
    why: str | None = Field(description="The request's `X-Reason`.")
    outcome: str = Field(
        description="`ok`, `refused`, `failed`, or `repeated`: a stored answer was sent again."
    )
    rule: str | None = Field(description="For a refusal: its type and the fields that it named.")
    detail: dict[str, int] | None
    trace: str | None = Field(description="The request's trace id; only for callers for the whole group.")


class AuditTrailPage(BaseModel):
    items: list[AuditEntryBody]
    next: str | None = Field(description="`cursor` for the next page; null on the last page.")


Officer = Annotated[Caller, Depends(RoleCheck("dpo"))]


def router(name: str, pool: Pool, keys: Keys) -> APIRouter:
    """`GET /<name>/audit`. Companies know campaigns by the group's ids, other subjects by their own."""
    routes = APIRouter(route_class=StrictRoute, prefix=f"/{name}", tags=["audit trail"])
    pairwise = name != "marketing"

    @routes.get("/audit")
    async def audit(
        caller: Officer,
        subject: Annotated[str | None, Query(max_length=64)] = None,
        company: Annotated[Ident | None, Query()] = None,
        actor: Annotated[str | None, Query(max_length=ACTOR, pattern=r"^[^\x00]*$")] = None,
        action: Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")] = None,
        since: Annotated[Moment | None, Query(alias="from")] = None,
        until: Annotated[Moment | None, Query(alias="to")] = None,
        cursor: Annotated[
            str | None, Query(max_length=200, description="`next` of the previous page.")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> AuditTrailPage:
        """List who read, changed or was refused what, the newest first. A company's data protection officer sees the
        entries of that company's own tokens. This request leaves an entry too.
        """
        if company is not None:
            caller.must_act_for(company)
        whose = caller.party
        party = whose if pairwise else None
        about = None
        if subject is not None:
            about = keys.from_pairwise(party, subject) if party else as_uuid(subject)
            if about is None:
                return AuditTrailPage(items=[], next=None)
        rows = await pool.fetch(
            _FIND,
            caller.company or company,
            about,
            actor,
            action,
            since,
            until,
            cursors.take(keys, whose, cursor) if cursor else None,
            limit,
        )
        shown = (lambda ident: keys.pairwise(party, ident)) if party else str
        items = [_body(row, shown, trace=caller.company is None) for row in rows]
        end = cursors.give(keys, whose, rows[-1]["id"]) if len(rows) == limit else None
        return AuditTrailPage(items=items, next=end)

    return routes


def _body(row: asyncpg.Record, shown: Any, *, trace: bool) -> AuditEntryBody:
    fields = dict(row) | {
        "subjects": [shown(ident) for ident in row["subjects"]],
        "detail": orjson.loads(row["detail"]) if row["detail"] else None,
        "trace": row["trace"] if trace else None,
    }
    return AuditEntryBody(**fields)


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


_FORGET_OLD = "DELETE FROM audit_trail WHERE at < now() - make_interval(days => $1)"


async def forget_old(pool: Pool, days: int) -> None:
    """Delete entries that are older than `days`; the database refuses to delete one that is younger than a year."""
    await pool.execute(_FORGET_OLD, days)
