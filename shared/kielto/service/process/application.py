"""The HTTP side of a service: FastAPI with problem details, limits, traces and health.

Endpoints find `pool` and `verifier` on `request.app.state`; routers carry their service's prefix.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Receive, Scope, Send

from kielto.service.audit_trail import api
from kielto.service.audit_trail.middleware import AuditTrail
from kielto.service.database import pool as postgres
from kielto.service.database.pool import Pool
from kielto.service.http import docs_page
from kielto.service.http.allowed_names import Described, known_query
from kielto.service.http.auth import Verifier
from kielto.service.http.error_handlers import answer_errors
from kielto.service.http.middleware import RequestMiddleware, respond
from kielto.service.http.openapi import NONE, Operations, finished
from kielto.service.http.problem import ProblemDetails, ProblemError
from kielto.service.http.throttle import Throttle
from kielto.service.support import metrics
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.limits import Limits


@dataclass(slots=True)
class Health:
    """What /readyz looks at; set by the composition."""

    claimed: bool = False
    stopping: bool = False


def create_app(
    name: str,
    routers: Sequence[APIRouter],
    *,
    pool: Pool,
    verifier: Verifier,
    health: Health,
    streamed: Sequence[str] = (),
    body_bytes: Mapping[str, int] | None = None,
    limits: Limits | None = None,
    ready: "Pool | None" = None,
    keys: Keys | None = None,
    operations: Operations = NONE,
) -> FastAPI:
    """The ASGI application of one service; OpenAPI 3.1 at `/openapi.json` and `/<name>/openapi.json`, a page of it at
    `/docs`; `/livez`, `/readyz`.

    Bodies have at most `limits.body_bytes` bytes, of a path in `body_bytes` so many; those of the paths in `streamed`
    have no limit. `ready`: a pool that /readyz
    alone asks: what others wait for says nothing of the database. `operations`: the names and problems of its routes.
    """
    limits = limits or Limits()
    problem: dict[int | str, dict[str, Any]] = {
        "default": {"model": ProblemDetails, "description": "A problem (RFC 9457)."}
    }
    app = FastAPI(
        title=f"Kielto {name}",
        openapi_url=f"/{name}/openapi.json",
        docs_url=None,  # FastAPI's page loads scripts from a CDN: `docs_page` has ours
        redoc_url=None,
        responses=problem,
        dependencies=[Depends(known_query)],
        redirect_slashes=False,  # to whatever host the caller names
    )
    app.state.pool, app.state.verifier = pool, verifier
    app.state.throttle = Throttle(limits)
    if keys is not None:  # first: `/customers/{ident}` would match its path
        routers = [api.router(name, pool, keys), *routers]
    for router in routers:
        app.include_router(router)
    app.include_router(_watching(ready or pool, health, limits.ready_seconds))
    answer_errors(app)
    app.add_middleware(AuditTrail, pool=pool, keys=keys)
    most: dict[str, int | None] = {**(body_bytes or {}), **dict.fromkeys(streamed)}
    app.add_middleware(RequestMiddleware, prefix=f"/{name}", health=health, limits=limits, most=most)
    describe = app.openapi
    app.openapi = lambda: app.openapi_schema or finished(describe(), routers, operations)  # type: ignore[method-assign]
    app.state.described = Described(app.openapi)
    app.include_router(docs_page.router(app.openapi))
    return app


def _watching(pool: Pool, health: Health, seconds: float) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def livez() -> Response:
        """The event loop goes round. What hangs by itself (a consumer) is restarted by itself."""
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> Response:
        """Needs the database, and an epoch once in its life; not Kafka: decisions are accepted without it."""
        try:
            async with asyncio.timeout(seconds):
                await pool.fetchval("SELECT 1", timeout=seconds)
        except postgres.AWAY:
            raise ProblemError(503, "database-unavailable", "The database does not answer") from None
        if not health.claimed:
            raise ProblemError(503, "epoch-not-claimed", "The first start is not complete")
        if health.stopping:
            raise ProblemError(503, "stopping", "The service is stopping")
        return JSONResponse({"status": "ok"})

    return router


def metrics_app(pool: Pool) -> ASGIApp:
    """The ASGI application."""

    async def expose(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/metrics":
            await respond(ProblemError(404, "not-found", "Not found"), scope, receive, send)
            return
        await observe(pool)
        await Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)(scope, receive, send)

    return expose


_OBSERVE = """
SELECT
    coalesce(extract(epoch FROM clock_timestamp() - (
        SELECT created_at FROM marks WHERE lane = 'express' ORDER BY id LIMIT 1)), 0)::float8 AS express,
    coalesce(extract(epoch FROM clock_timestamp() - (
        SELECT created_at FROM marks WHERE lane = 'bulk' ORDER BY id LIMIT 1)), 0)::float8 AS bulk,
    coalesce(extract(epoch FROM clock_timestamp() - (
        SELECT created_at FROM reports ORDER BY id LIMIT 1)), 0)::float8 AS reports,
    (SELECT count(*) FROM quarantine WHERE state = 'open') AS quarantine,
    (SELECT epoch FROM epoch) AS epoch,
    EXISTS (SELECT FROM current_epoch WHERE checked) AS epoch_open"""


async def observe(pool: Pool) -> None:
    """Set the gauges that the database knows; leaves them as they are while it is away."""
    try:
        row = await pool.fetchrow(_OBSERVE, timeout=2)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return
    assert row is not None
    metrics.OLDEST_MARK.labels("express").set(row["express"])
    metrics.OLDEST_MARK.labels("bulk").set(row["bulk"])
    metrics.OLDEST_REPORT.set(row["reports"])
    metrics.QUARANTINE_OPEN.set(row["quarantine"])
    metrics.EPOCH.set(row["epoch"] or 0)
    metrics.EPOCH_OPEN.set(row["epoch_open"])
