"""The HTTP side of a service: FastAPI with problem details, a body limit, traces, health and metrics.

Endpoints find `pool` and `verifier` on `request.app.state`; routers carry their service's prefix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kielto.service import postgres, telemetry
from kielto.service.auth import Verifier
from kielto.service.edge import Edge
from kielto.service.errors import answer_errors
from kielto.service.postgres import Pool
from kielto.service.problems import Problem, ProblemDetails


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
) -> FastAPI:
    """The ASGI application of one service; OpenAPI 3.1 at `/<name>/openapi.json`, `/livez`, `/readyz`,
    `/metrics`.

    Bodies have at most `edge.MAX_BODY` bytes, except those of the paths in `streamed`.
    """
    problem: dict[int | str, dict[str, Any]] = {
        "default": {"model": ProblemDetails, "description": "A problem (RFC 9457)."}
    }
    app = FastAPI(
        title=f"Kielto {name}",
        openapi_url=f"/{name}/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        responses=problem,
    )
    app.state.pool, app.state.verifier = pool, verifier
    for router in routers:
        app.include_router(router)
    app.include_router(_watching(pool, health))
    answer_errors(app)
    app.add_middleware(Edge, health=health, streamed=frozenset(streamed))
    describe = app.openapi
    app.openapi = lambda: _as_3_1(describe())  # type: ignore[method-assign]
    return app


def _as_3_1(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI describes a stream of events by `itemSchema`, a word of OpenAPI 3.2, in a document of 3.1."""
    for operations in document["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                for content in response.get("content", {}).values():
                    if content.pop("itemSchema", None):
                        content["schema"] = {"type": "string"}
    return document


def _watching(pool: Pool, health: Health) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def livez() -> Response:
        """The event loop goes round. What hangs by itself (a consumer) is restarted by itself."""
        return JSONResponse({"status": "ok"})

    @router.get("/readyz")
    async def readyz() -> Response:
        """Needs the database, and an epoch once in its life; not Kafka: decisions are accepted without it."""
        try:
            await pool.fetchval("SELECT 1", timeout=2)
        except postgres.AWAY:
            raise Problem(503, "database-unavailable", "The database does not answer.") from None
        if not health.claimed:
            raise Problem(503, "epoch-not-claimed", "The very first start is not complete.")
        if health.stopping:
            raise Problem(503, "stopping", "The service is stopping.")
        return JSONResponse({"status": "ok"})

    @router.get("/metrics")
    async def metrics() -> Response:
        await telemetry.observe(pool)
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router
