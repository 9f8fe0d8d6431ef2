"""Complete FastAPI's OpenAPI description.

Adds who may call an operation, its headers, and the types of problems it may return: read from its dependencies where
possible, else from the service's table of operations.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from kielto.service.http.auth import RoleCheck
from kielto.service.http.idempotency import idempotency_key
from kielto.service.http.problem import PREFIX
from kielto.service.support.limits import FIXED

Document = dict[str, Any]
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Operation:
    """`id`: the operation's name in generated clients. `problems`: those of its own, as "404 unknown-customer", beside
    those that follow from its method, its token and its headers.
    """

    id: str
    problems: tuple[str, ...] = ()


Operations = Mapping[str, Operation]
"""By method and path: "POST /consents/decisions"."""

NONE: Operations = {}

_OF_ALL = ("422 invalid-request", "429 too-many-requests", "503 busy", "503 database-unavailable")
_OF_A_TOKEN = (
    "401 unauthorised",
    "403 missing-role",
    "403 foreign-company",
    "403 unknown-company",
    "403 company-or-group-needed",
    "503 issuer-unavailable",
)
_OF_A_WRITE = ("503 epoch-not-claimed",)
_OF_A_BODY = ("408 body-timeout", "413 body-too-large")
_OF_A_KEY = ("400 malformed-idempotency-key", "422 idempotency-key-reused")
_OF_IF_MATCH = ("412 stale", "428 if-match-missing")
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A repeated request with the same key gets the first one's answer, for a week.",
    "schema": {"type": "string", "minLength": 1, "maxLength": FIXED.idempotency_key_characters},
}
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "Of the group's issuer; claims: `sub`, `roles`, and `company` (an id) or `group` (true).",
}


@dataclass(slots=True)
class _Facts:
    """What the dependencies of one operation say about it."""

    needs_token: bool = False
    roles: tuple[str, ...] = ()
    for_group: bool = False
    takes_key: bool = False
    problems: list[str] = field(default_factory=list)


def finished(document: Document, routers: Iterable[APIRouter], operations: Operations) -> Document:
    """Complete the document in place, and return it."""
    facts = {f"{method} {path}": _facts(route) for method, path, route in _routes(routers)}
    document.setdefault("components", {})["securitySchemes"] = {"bearer": _BEARER}
    for path, by_method in document["paths"].items():
        for method, described in by_method.items():
            name = f"{method.upper()} {path}"
            _finish(described, method.upper(), facts.get(name, _Facts()), operations.get(name))
    for unused in ("HTTPValidationError", "ValidationError"):
        document["components"].get("schemas", {}).pop(unused, None)
    return _plainly_named(document)


def _finish(described: Document, method: str, facts: _Facts, known: Operation | None) -> None:
    described["security"] = [{"bearer": []}] if facts.needs_token else []
    if facts.roles:
        described["x-roles"] = list(facts.roles)
        whose = " of the whole group" if facts.for_group else ""
        roles = f"Roles: {', '.join(facts.roles)}{whose}."
        described["description"] = "\n\n".join(filter(None, [described.get("description"), roles]))
    parameters = described.setdefault("parameters", [])
    if facts.takes_key:
        parameters.append(_KEY)
    needs_match = False
    for parameter in parameters:
        if parameter["name"] == "if-match":
            parameter |= {"name": "If-Match", "required": True, "schema": {"type": "string"}}
            needs_match = True
    if not parameters:
        del described["parameters"]
    told = [
        *_OF_ALL,
        *(_OF_A_TOKEN if facts.needs_token else ()),
        *(_OF_A_WRITE if method in _WRITES else ()),
        *(_OF_A_BODY if "requestBody" in described else ()),
        *(_OF_A_KEY if facts.takes_key else ()),
        *(_OF_IF_MATCH if needs_match else ()),
    ]
    if known is not None:
        described["operationId"] = known.id
        told += known.problems
    _tell(described["responses"], told)


def _tell(responses: Document, told: Iterable[str]) -> None:
    """Add the problems. Event streams are described without `itemSchema`, which OpenAPI 3.1 does not have."""
    for status in sorted({one[:3] for one in told}):
        types = sorted(PREFIX + one[4:] for one in told if one.startswith(status))
        names = ", ".join(f"`{one.removeprefix(PREFIX)}`" for one in types)
        description = f"{HTTPStatus(int(status)).phrase}: {names}"
        responses[status] = {"description": description, "x-problem-types": types}
    for status, response in responses.items():
        if status == "default" or status.startswith(("4", "5")):
            schema = {"$ref": "#/components/schemas/ProblemDetails"}
            response["content"] = {"application/problem+json": {"schema": schema}}
        for content in response.get("content", {}).values():
            if content.pop("itemSchema", None):
                content.clear()


def _routes(routers: Iterable[APIRouter]) -> Iterator[tuple[str, str, APIRoute]]:
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in route.methods or ():
                    yield method, route.path_format, route


def _facts(route: APIRoute) -> _Facts:
    facts = _Facts()
    for call in _calls(route.dependant):
        if isinstance(call, RoleCheck):
            facts.needs_token, facts.roles, facts.for_group = True, call.roles, call.group
        elif call is idempotency_key:
            facts.takes_key = True
    return facts


def _calls(dependant: Any) -> Iterator[Callable[..., Any]]:
    for dependency in dependant.dependencies:
        yield dependency.call
        yield from _calls(dependency)


def _plainly_named(document: Document) -> Document:
    """Name models that share a name after their modules, as `RulingReason`, instead of by the path of our files."""
    text, plain_names = json.dumps(document), []
    for long in document["components"].get("schemas", {}):
        if "__" in long:
            *_, module, name = long.split("__")
            plain = "".join(part.title() for part in module.split("_")) + name
            text = re.sub(rf"\b{re.escape(long)}\b", plain, text)
            plain_names.append(plain)
    renamed: Document = json.loads(text)
    for plain in plain_names:
        renamed["components"]["schemas"][plain]["title"] = plain
    document.clear()
    document.update(renamed)
    return document
