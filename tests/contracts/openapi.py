"""The HTTP descriptions of the three services, as their applications give them.

python -m tests.contracts.openapi      writes docs/contract/openapi-<service>.json anew
"""

import importlib
import json
from types import SimpleNamespace
from typing import Any, cast

from fastapi import FastAPI

from deploy.local.paths import ROOT
from kielto.acls import SERVICES
from kielto.group import load
from kielto.service.database.pool import Pool
from kielto.service.http.auth import Verifier
from kielto.service.inbox.input_freshness import InputFreshness
from kielto.service.process.application import Health, create_app
from kielto.service.process.platform import Platform, Service
from kielto.service.process.running import operations_of, routers_of
from kielto.service.support.bulk_throttle import BulkThrottle
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.settings import ServiceSettings

FOLDER = ROOT / "docs/contract"


def build(name: str, pool: "Pool | None" = None) -> tuple[Platform, Service]:
    """One service as its application builds it. Nothing is connected but the pool, where one is given."""
    nothing = cast(Any, SimpleNamespace())
    platform = Platform(
        settings=cast(ServiceSettings, nothing),
        group=load(ROOT / "group.yaml"),
        keys=cast(Keys, SimpleNamespace(checks=lambda _: {})),
        pool=pool or cast(Pool, nothing),
        by_key=pool or cast(Pool, nothing),
        ready=cast(Pool, nothing),
        verifier=cast(Verifier, nothing),
        inputs=cast(InputFreshness, nothing),
        throttle=BulkThrottle(),
    )
    return platform, importlib.import_module(f"services.{name}.app").build(platform)


def application(name: str) -> FastAPI:
    """The ASGI application of one service, of which nothing is connected."""
    platform, service = build(name)
    return create_app(
        name,
        routers_of(name, platform, service),
        pool=platform.pool,
        verifier=platform.verifier,
        health=Health(),
        operations=operations_of(name, service),
        streamed=service.streamed,
        keys=platform.keys,
    )


def describe(name: str) -> dict[str, Any]:
    """OpenAPI 3.1 of one service."""
    return application(name).openapi()


def text(name: str) -> str:
    return json.dumps(describe(name), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    for name in SERVICES:
        (FOLDER / f"openapi-{name}.json").write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
