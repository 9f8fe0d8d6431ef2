"""What the service's own description says about a path: its methods and the names of its query parameters."""

from collections.abc import Callable
from typing import Any

from fastapi import Request
from starlette.routing import compile_path

from kielto.service.http.problem import invalid_request
from kielto.validation import FieldRule, field


class Described:
    """`describe` returns the OpenAPI document; it is called once, when it is first needed."""

    def __init__(self, describe: Callable[[], dict[str, Any]]) -> None:
        self._describe = describe
        self._paths: list[tuple[Any, dict[str, frozenset[str]]]] | None = None

    def methods(self, path: str) -> list[str]:
        """The methods of all operations with this path; HEAD wherever GET is (RFC 9110, section 9.1)."""
        found = {
            method for pattern, operations in self._read() if pattern.match(path) for method in operations
        }
        return sorted(found | ({"HEAD"} if "GET" in found else set()))

    def query(self, path: str, method: str) -> frozenset[str] | None:
        """The names of the operation's query parameters; None if there is no such operation."""
        found = (operations.get(method) for pattern, operations in self._read() if pattern.match(path))
        return next((names for names in found if names is not None), None)

    def _read(self) -> list[tuple[Any, dict[str, frozenset[str]]]]:
        if self._paths is None:
            self._paths = [
                (compile_path(path)[0], {m.upper(): _names(o) for m, o in operations.items()})
                for path, operations in self._describe()["paths"].items()
            ]
        return self._paths


def _names(operation: dict[str, Any]) -> frozenset[str]:
    return frozenset(p["name"] for p in operation.get("parameters", ()) if p["in"] == "query")


async def known_query(request: Request) -> None:
    """A FastAPI dependency. Raises ProblemError 422 for a query parameter that the operation does not have: ignored, a
    misspelt filter would return everything.
    """
    if not request.url.query:
        return
    described: Described = request.app.state.described
    names = described.query(request.url.path, request.method)
    unknown = [name for name in request.query_params if names is not None and name not in names]
    if names is not None and unknown:
        rule = (
            f"is not a parameter of this operation; its parameters are: {', '.join(sorted(names)) or 'none'}"
        )
        errors = [
            FieldRule(field({"type": "extra_forbidden", "loc": (name,)}), rule) for name in unknown[:20]
        ]
        raise invalid_request(*errors)
