"""`/docs`: the service's OpenAPI description as one HTML page, rendered here. It has no script and loads nothing, so it
works without a network and under the strictest Content-Security-Policy.
"""

import base64
import hashlib
import html
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse

Document = dict[str, Any]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
summary { cursor: pointer; padding: .3rem 0; }
details details { margin-left: 1rem; }
code, pre { font: 14px/1.4 ui-monospace, monospace; }
pre { background: #f4f4f4; color: #111; padding: .6rem; overflow-x: auto; }
table { border-collapse: collapse; } td, th { border: 1px solid #bbb; padding: .2rem .5rem; text-align: left; }
"""
_POLICY = (
    "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {"Content-Security-Policy": _POLICY.format(_HASH), "X-Content-Type-Options": "nosniff"}


def router(describe: Callable[[], Document]) -> APIRouter:
    """`GET /docs` and `GET /openapi.json`, without a token: they describe the service and hold no data of it."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/openapi.json")
    async def description() -> JSONResponse:
        return JSONResponse(describe())

    @routes.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(render(describe()), headers=_HEADERS)

    return routes


def render(document: Document) -> str:
    """The page of an OpenAPI 3.1 document. Every text in it is escaped."""
    title = html.escape(document["info"]["title"])
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>',
        f'<h1>{title}</h1><p><a href="openapi.json">openapi.json</a> (OpenAPI {document["openapi"]})</p>',
        "<h2>Operations</h2>",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += _operation(path, method, operation)
    parts.append("<h2>Schemas</h2>")
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        parts.append(f'<details id="{html.escape(name)}"><summary><code>{html.escape(name)}</code></summary>')
        parts += [_json(schema), "</details>"]
    return "\n".join([*parts, "</html>"])


def _operation(path: str, method: str, operation: Document) -> Iterator[str]:
    call, summary = html.escape(f"{method.upper()} {path}"), html.escape(operation.get("summary", ""))
    yield f"<details><summary><code>{call}</code> {summary}</summary>"
    for paragraph in operation.get("description", "").split("\n\n"):
        yield f"<p>{html.escape(paragraph)}</p>"
    if parameters := operation.get("parameters"):
        yield _table(
            ("parameter", "in", "required", "what"),
            (
                (p["name"], p["in"], "yes" if p.get("required") else "no", p.get("description", ""))
                for p in parameters
            ),
        )
    if body := operation.get("requestBody"):
        yield f"<details><summary>Request body</summary>{_json(body['content'])}</details>"
    responses = operation["responses"].items()
    yield _table(("status", "what"), ((status, r.get("description", "")) for status, r in responses))
    bodies = {status: r["content"] for status, r in responses if status < "3" and "content" in r}
    if bodies:
        yield f"<details><summary>Answers</summary>{_json(bodies)}</details>"
    yield "</details>"


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in heads)
    body = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in body)}</table>"


def _json(value: Any) -> str:
    return f"<pre>{html.escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
