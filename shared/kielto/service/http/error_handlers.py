"""Every error as a problem: the field and the rule, never the value; unknown errors are logged by kind."""

from collections.abc import Callable
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from kielto.events.envelope import MessageTooLargeError
from kielto.service.database import pool
from kielto.service.database.epoch import EpochNotOpenError
from kielto.service.http.allowed_names import Described
from kielto.service.http.idempotency import RepeatedRequestError, replay
from kielto.service.http.middleware import response
from kielto.service.http.problem import ProblemError, invalid_request, unavailable
from kielto.service.http.throttle import too_many
from kielto.service.support.shares import BusyError, CrowdedError
from kielto.validation import field_rules

log = structlog.get_logger(__name__)

_AWAY = unavailable(
    "database-unavailable", "The database does not answer: retry with the same Idempotency-Key"
)
_ALWAYS: dict[type[Exception], ProblemError] = {
    MessageTooLargeError: ProblemError(413, "record-too-large", "The record to be published is too large"),
    EpochNotOpenError: ProblemError(
        503, "epoch-not-claimed", "The service is comparing its database with Kafka: retry later"
    ),
    CrowdedError: too_many(),
    # Others of the same party, or about the same person, take long.
    BusyError: unavailable("busy", "The service is busy: retry with the same Idempotency-Key"),
}


def answer_errors(app: FastAPI) -> None:
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(RepeatedRequestError, _repeated)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for kind, problem in _ALWAYS.items():
        app.add_exception_handler(kind, _always(problem))
    for kind in pool.AWAY:
        app.add_exception_handler(kind, _away)
    app.add_exception_handler(Exception, _unknown)


async def _problem(request: Request, error: Exception) -> Response:
    """A repeated request may fail where the first succeeded (it ended what is ended now): it gets that
    answer.
    """
    assert isinstance(error, ProblemError)
    request.state.refused = error.rule
    claim = getattr(request.state, "claim", None)
    if claim is not None and error.slug != "idempotency-key-reused":
        stored = await replay(request.app.state.pool, claim)
        if stored is not None:
            return stored
    return response(error, request.url.path)


async def _repeated(request: Request, error: Exception) -> Response:
    assert isinstance(error, RepeatedRequestError)
    try:
        stored = await replay(request.app.state.pool, error.claim)
    except ProblemError as reused:
        return response(reused, request.url.path)
    return stored or response(_AWAY, request.url.path)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = field_rules(map(_placed, error.errors()))
    problem = invalid_request(*errors)
    request.state.refused = problem.rule
    return response(problem, request.url.path)


def _placed(found: dict[str, Any]) -> dict[str, Any]:
    """`body.points.0.kind` as `points.0.kind`; of broken JSON only that it was the body."""
    loc = found["loc"]
    return {**found, "loc": loc[:1] if found["type"] == "json_invalid" else loc[1:] or loc}


async def _http(request: Request, error: Exception) -> Response:
    """Starlette's own: no such path, no such method."""
    assert isinstance(error, HTTPException)
    slugs = {404: "not-found", 405: "method-not-allowed"}
    problem = ProblemError(
        error.status_code,
        slugs.get(error.status_code, "http-error"),
        {404: "Not found", 405: "Method not allowed"}.get(error.status_code, "The request cannot be handled"),
        headers=_allow(request) if error.status_code == 405 else error.headers,
    )
    return response(problem, request.url.path)


def _allow(request: Request) -> dict[str, str]:
    """Of all operations of the path: Starlette names those of the first that it meets (RFC 9110, section 10.2.1)."""
    described: Described = request.app.state.described
    return {"Allow": ", ".join(described.methods(request.url.path)) or "GET, HEAD"}


async def _away(request: Request, error: Exception) -> Response:
    log.warning("database.unavailable", error=type(error).__name__, path=_route(request))
    return response(_AWAY, request.url.path)


async def _unknown(request: Request, error: Exception) -> Response:
    log.error("request.failed", error=type(error).__name__, path=_route(request))
    return response(ProblemError(500, "internal", "Internal error; it was logged"), request.url.path)


def _always(problem: ProblemError) -> Callable[[Request, Exception], Any]:
    async def handler(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's signature
        return response(problem, request.url.path)

    return handler


def _route(request: Request) -> str:
    """The template, not the path: that may hold a customer's number."""
    return getattr(request.scope.get("route"), "path", "other")
