"""The HTTP side of a service: FastAPI with problem details, a body limit, traces, health and metrics.

Endpoints find `pool` and `verifier` on `request.app.state`; routers carry their service's prefix.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI

from kielto.service.auth import Verifier
from kielto.service.postgres import Pool

MAX_BODY = 1024 * 1024
"""Bytes of a request's body; more is answered 413. Paths in `streamed` are exempt: they read line by line."""


@dataclass(slots=True)
class Health:
    """What /readyz and /livez look at; set by the composition."""

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
    """
    raise NotImplementedError
