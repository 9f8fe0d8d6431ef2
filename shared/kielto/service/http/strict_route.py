"""Routes whose bodies are parsed once, strictly (`kielto.strict_json`): every router of ours has `StrictRoute`."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import StringConstraints
from starlette.requests import ClientDisconnect

from kielto.service.http.problem import invalid_request
from kielto.strict_json import DuplicateNameError, NotJsonError, loads
from kielto.validation import FieldRule

Note = Annotated[
    str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True, pattern=r"^[^\x00]*$")
]
"""Why something is done, in words that PostgreSQL can store."""


class StrictRoute(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:  # as of an import, which is read line by line
            return handle

        async def strict(request: Request) -> Response:
            if "json" not in request.headers.get("content-type", "").lower():
                return await handle(request)
            try:
                body = await request.body()
            except ClientDisconnect:
                raise HTTPException(400) from None
            return await handle(_Parsed(request, body) if body else request)

        return strict


class _Parsed(Request):
    """A request whose body was read and parsed. Raises ProblemError 422."""

    def __init__(self, request: Request, body: bytes) -> None:
        super().__init__(request.scope, request.receive)
        self._body, self._json = body, _content(body)


def _content(body: bytes) -> Any:
    try:
        return loads(body)
    except DuplicateNameError as twice:
        error = FieldRule(twice.field, "must be given only once in an object")
    except NotJsonError as broken:
        error = FieldRule("body", str(broken))
    raise invalid_request(error) from None
