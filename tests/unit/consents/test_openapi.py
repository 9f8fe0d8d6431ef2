"""The published description is valid OpenAPI 3.1, and its examples are decisions that would be understood."""

from typing import Any, cast

import pytest
from openapi_spec_validator import validate

from kielto.service.database.pool import Pool
from kielto.service.http.auth import Verifier
from kielto.service.process.application import Health, create_app
from services.consents.api import permissions
from services.consents.api.decisions import decisions
from services.consents.api.decisions.bodies import EXAMPLES, GivenDecision
from services.consents.api.propagation import subscribers
from services.consents.use_cases.context import Context


@pytest.fixture(scope="module")
def description() -> dict[str, Any]:
    pool, context = cast(Pool, None), cast(Context, None)
    routers = [part.router(context) for part in (decisions, permissions, subscribers)]
    app = create_app("consents", routers, pool=pool, verifier=cast(Verifier, None), health=Health())
    return app.openapi()


def test_it_is_valid(description: dict[str, Any]) -> None:
    assert description["openapi"].startswith("3.1")
    validate(description)
    assert all(path.startswith("/consents/") for path in description["paths"])


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_are_decisions(name: str) -> None:
    GivenDecision.model_validate(cast(dict[str, Any], EXAMPLES[name])["value"])
