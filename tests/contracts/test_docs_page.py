"""Whoever can reach a service's port reads its description there: the published one, without a network."""

import json
import re

import httpx
import pytest

from kielto.acls import SERVICES
from kielto.service.http import docs_page
from tests.contracts.openapi import FOLDER, application


@pytest.mark.parametrize("name", SERVICES)
async def test_the_description_served_is_the_published_one(name: str) -> None:
    published = json.loads((FOLDER / f"openapi-{name}.json").read_text(encoding="utf-8"))
    transport = httpx.ASGITransport(application(name))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for path in ("/openapi.json", f"/{name}/openapi.json"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()) == (200, published)
        page = await client.get("/docs")
    assert page.status_code == 200
    for path in published["paths"]:
        assert path in page.text
    assert "<script" not in page.text
    assert not re.search(r'(src|href)="(?!openapi\.json)', page.text), "the page loads something"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_what_the_description_says_is_escaped() -> None:
    document = {
        "openapi": "3.1.0",
        "info": {"title": "<b>"},
        "paths": {"/<i>": {"get": {"description": "<script>", "responses": {"200": {"description": "<u>"}}}}},
    }
    page = docs_page.render(document)
    assert not {"<b>", "<i>", "<script>", "<u>"} & set(re.findall(r"<\w+>", page))
