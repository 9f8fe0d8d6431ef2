"""Every error as a problem: the field and the rule, never the value; unknown ones by their kind in the
log.
"""

from collections.abc import Callable
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from kielto.events.envelope import TooLarge
from kielto.service import postgres
from kielto.service.edge import response
from kielto.service.epoch import NotClaimed
from kielto.service.idempotency import Repeated, replay
from kielto.service.problems import FieldError, Problem

log = structlog.get_logger(__name__)

_OWN_WORDS = {"uuid_parsing": "is a UUID", "json_invalid": "is JSON", "missing": "is required"}
"""For pydantic's messages that may quote a part of the value, or that read badly."""


def answer_errors(app: FastAPI) -> None:
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(Repeated, _repeated)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(
        TooLarge, _always(413, "record-too-large", "What would be published is too large.")
    )
    app.add_exception_handler(NotClaimed, _always(503, "epoch-not-claimed", "Nothing is accepted yet."))
    for kind in postgres.AWAY:
        app.add_exception_handler(kind, _away)
    app.add_exception_handler(Exception, _unknown)


async def _problem(request: Request, error: Exception) -> Response:
    """A repeated request may fail where the first succeeded (it ended what is ended now): it gets that
    answer.
    """
    assert isinstance(error, Problem)
    claim = getattr(request.state, "claim", None)
    if claim is not None and error.slug != "idempotency-key-reused":
        stored = await replay(request.app.state.pool, claim)
        if stored is not None:
            return stored
    return response(error, request.url.path)


async def _repeated(request: Request, error: Exception) -> Response:
    assert isinstance(error, Repeated)
    try:
        stored = await replay(request.app.state.pool, error.claim)
    except Problem as reused:
        return response(reused, request.url.path)
    return stored or response(_unavailable(), request.url.path)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [FieldError(_place(found), _words(found)) for found in error.errors()[:20]]
    problem = Problem(422, "invalid-request", "The request breaks a rule.", errors=errors)
    return response(problem, request.url.path)


def _place(found: dict[str, Any]) -> str:
    """`body.points.0.kind` as `points.0.kind`; of broken JSON only that it was the body."""
    names = [str(part) for part in found["loc"]]
    return "body" if found["type"] == "json_invalid" else ".".join(names[1:] or names)


def _words(found: dict[str, Any]) -> str:
    return _OWN_WORDS.get(found["type"], str(found["msg"]).removeprefix("Value error, "))


async def _http(request: Request, error: Exception) -> Response:
    """Starlette's own: no such path, no such method."""
    assert isinstance(error, HTTPException)
    slugs = {404: "not-found", 405: "method-not-allowed"}
    problem = Problem(
        error.status_code,
        slugs.get(error.status_code, "http-error"),
        {404: "There is nothing here.", 405: "This method does nothing here."}.get(
            error.status_code, "The request cannot be handled."
        ),
        headers=error.headers,
    )
    return response(problem, request.url.path)


async def _away(request: Request, error: Exception) -> Response:
    log.warning("database away", error=type(error).__name__, path=_route(request))
    return response(_unavailable(), request.url.path)


async def _unknown(request: Request, error: Exception) -> Response:
    log.error("request failed", error=type(error).__name__, path=_route(request))
    return response(Problem(500, "internal", "An error of ours; it was noted."), request.url.path)


def _unavailable() -> Problem:
    return Problem(
        503,
        "database-unavailable",
        "The database does not answer. Try again with the same Idempotency-Key.",
        headers={"Retry-After": "1"},
    )


def _always(status: int, slug: str, title: str) -> Callable[[Request, Exception], Any]:
    async def handler(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return response(Problem(status, slug, title), request.url.path)

    return handler


def _route(request: Request) -> str:
    """The template, not the path: that may hold a customer's number."""
    return getattr(request.scope.get("route"), "path", "other")
