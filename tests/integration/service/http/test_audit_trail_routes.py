"""Each operation of the three services leaves exactly one entry, whatever it answers."""

import asyncio
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from kielto.acls import SERVICES
from kielto.service.database.pool import open_pool
from kielto.service.http.auth import Caller, Verifier
from kielto.service.process.application import Health, create_app
from tests.conftest import Migrated
from tests.contracts.openapi import build

PUBLIC = {"/consents/proof-keys"}
"""Asked by nobody in particular: the keys by which anybody checks a proof."""


class Everything(Verifier):
    def __init__(self) -> None:
        pass

    async def verify(self, token: str) -> Caller:
        del token
        roles = ("operator", "desk", "dpo", "campaigns", "register")
        return Caller("somebody", frozenset(roles), None)


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            yield method, path, operation


def filled(path: str, operation: dict[str, Any], ident: UUID) -> str:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            value = str(ident) if parameter["schema"].get("type") == "string" else "1"
            path = path.replace("{" + parameter["name"] + "}", value)
    return path


@pytest.mark.parametrize("name", SERVICES)
async def test_one_entry_each(name: str, migrated: Migrated) -> None:
    folder = Path(str(importlib.import_module(f"services.{name}").__file__)).parent / "migrations"
    pool = await open_pool(await migrated(name, folder), name="test")
    try:
        await pool.execute("INSERT INTO epoch (epoch) VALUES (1)")
        _, service = build(name, pool)
        app = create_app(
            name,
            service.routers,
            pool=pool,
            verifier=Everything(),
            health=Health(claimed=True),
            streamed=service.streamed,
        )
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        missing = []
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test", headers={"Authorization": "Bearer x"}
        ) as http:
            for method, path, operation in operations(app.openapi()):
                before = await pool.fetchval("SELECT count(*) FROM audit_trail")
                try:
                    async with asyncio.timeout(8):
                        await http.request(
                            method, filled(path, operation, uuid4()), json={} if method != "get" else None
                        )
                except TimeoutError:
                    pass  # a stream
                rows = await pool.fetch("SELECT action FROM audit_trail ORDER BY id OFFSET $1", before)
                public = not operation.get("security", True)
                if [row["action"] for row in rows] != [f"{method.upper()} {path}"] and not (
                    public and not rows
                ):
                    missing.append((method, path, [row["action"] for row in rows]))
        assert missing == []
    finally:
        await pool.close()
