"""What is published of the services' HTTP is what they answer to."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from openapi_spec_validator import validate
from starlette.routing import Match

from kielto.acls import SERVICES
from kielto.service.process.running import operations_of
from tests.contracts.openapi import FOLDER, application, build, text


@pytest.mark.parametrize("name", SERVICES)
def test_the_published_description_is_the_applications(name: str) -> None:
    published = (FOLDER / f"openapi-{name}.json").read_text(encoding="utf-8")
    assert published == text(name), "out of date: run python -m tests.contracts.openapi"


@pytest.mark.parametrize("name", SERVICES)
def test_the_description_is_openapi_3_1(name: str) -> None:
    found = published(name)
    assert found["openapi"].startswith("3.1")
    validate(found)


def operations(name: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """`POST /path`, the method, and what is said of it."""
    for path, by_method in published(name)["paths"].items():
        for method, described in by_method.items():
            yield f"{method.upper()} {path}", method, described


def published(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"openapi-{name}.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", SERVICES)
def test_every_operation_is_reached_by_its_path(name: str) -> None:
    """An earlier route with a parameter in that place (`/customers/{ident}`) would answer 404 in its stead."""
    included = [r.original_router.routes for r in application(name).routes if hasattr(r, "original_router")]
    routes = [route for router in included for route in router if isinstance(route, APIRoute)]
    assert len(routes) > 10
    for route in routes:
        path = re.sub(r"{[^}]+}", "1", route.path)
        for method in route.methods or ():
            scope: dict[str, Any] = {
                "type": "http",
                "method": method,
                "path": path,
                "root_path": "",
                "headers": [],
            }
            first = next(r for r in routes if r.matches(scope)[0] is Match.FULL)
            assert first is route, f"{method} {route.path} is answered by {first.path}"


@pytest.mark.parametrize("name", SERVICES)
def test_every_operation_has_a_name_that_a_person_would_choose(name: str) -> None:
    _, service = build(name)
    known = operations_of(name, service)
    assert set(known) == {place for place, _, _ in operations(name)}, "add it to api/operations.py"
    ids = [described["operationId"] for _, _, described in operations(name)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+([A-Z][a-z]+)*", ident) for ident in ids), ids


@pytest.mark.parametrize("name", SERVICES)
def test_every_operation_says_who_may_call_it_and_how_it_refuses(name: str) -> None:
    for place, method, described in operations(name):
        assert described["summary"], place
        if place == "GET /consents/proof-keys":
            assert described["security"] == [], "it needs no token"
            continue
        assert described["security"] == [{"bearer": []}], place
        assert described["x-roles"], place
        assert all(role in described["description"] for role in described["x-roles"]), place
        assert {"401", "403", "422", "429", "503", "default"} <= set(described["responses"]), place
        for status, response in described["responses"].items():
            if status.startswith(("4", "5")):
                assert list(response["content"]) == ["application/problem+json"], place
                assert all(t.startswith("urn:kielto:problem:") for t in response["x-problem-types"]), place
        headers = {p["name"]: p for p in described.get("parameters", ()) if p["in"] == "header"}
        assert ("If-Match" in headers) is (method == "patch"), place
        assert all(h["required"] for n, h in headers.items() if n == "If-Match"), place
        if place in ("POST /customers", "POST /consents/decisions", "POST /marketing/campaigns"):
            assert "Idempotency-Key" in headers, place


@pytest.mark.parametrize("name", SERVICES)
def test_no_schema_is_named_for_a_file_of_ours(name: str) -> None:
    names = list(published(name)["components"]["schemas"])
    assert all(re.fullmatch(r"[A-Za-z]+", schema) for schema in names), names
    assert not re.search(r"services__|kielto__", json.dumps(published(name)))


@pytest.mark.parametrize("name", SERVICES)
def test_every_json_body_has_an_example(name: str) -> None:
    document = published(name)
    for place, _, described in operations(name):
        for content in described.get("requestBody", {"content": {}})["content"].values():
            schema = content["schema"]
            while reference := schema.get("$ref") or next(
                (s["$ref"] for s in schema.get("anyOf", ()) if "$ref" in s), None
            ):
                schema = document["components"]["schemas"][reference.rpartition("/")[2]]
            assert {"example", "examples"} & {*content, *schema}, place
