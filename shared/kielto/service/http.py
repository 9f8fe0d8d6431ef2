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
    app.openapi = lambda: _mended(describe())  # type: ignore[method-assign]
    return app


def _mended(document: dict[str, Any]) -> dict[str, Any]:
    """What FastAPI says otherwise than it is: problems are `application/problem+json`, also those of a body that
    breaks a rule; a stream of events is described in words of OpenAPI 3.1 (`itemSchema` is one of 3.2)."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status == "default" or status.startswith(("4", "5")):
                    response["content"] = problem
                for content in response.get("content", {}).values():
                    if content.pop("itemSchema", None):
                        content.clear()
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(unused, None)
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
