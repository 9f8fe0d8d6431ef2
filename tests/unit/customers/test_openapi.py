"""The published description of the register's HTTP surface."""

import json
from typing import Any, cast
from zoneinfo import ZoneInfo

import jsonschema
from openapi_spec_validator import validate

from kielto.service.database.pool import Pool
from kielto.service.http.auth import Verifier
from kielto.service.process.application import Health, create_app
from kielto.service.support.crypto_keys import Keys
from services.customers.api import candidates, customers, examples, imports, unreadable
from services.customers.model.given import CustomerPatch, GivenCustomer, GivenRow
from services.customers.use_cases.context import CustomersContext
from tests.unit.customers.world import MOMENT, TERMS


def description() -> dict[str, Any]:
    context = CustomersContext(
        cast(Pool, None), cast(Keys, None), TERMS, lambda: MOMENT.at, ZoneInfo("Europe/Helsinki")
    )
    routers = [part.router(context) for part in (imports, candidates, customers, unreadable)]
    verifier = cast(Verifier, None)
    app = create_app("customers", routers, pool=context.pool, verifier=verifier, health=Health())
    return app.openapi()


def test_the_description_is_openapi_3_1() -> None:
    found = description()
    assert found["openapi"].startswith("3.1")
    validate(found)
    assert set(found["paths"]) == {
        "/customers",
        "/customers/{ident}",
        "/customers/{ident}/customerships/{company}/end",
        "/customers/{ident}/merge",
        "/customers/{ident}/unreadable",
        "/customers/imports",
        "/customers/audit",
        "/customers/candidates",
        "/customers/candidates/contradictions",
        "/customers/candidates/{one}/{other}/apart",
    }


def test_a_row_is_described_whole() -> None:
    content = description()["paths"]["/customers/imports"]["post"]["requestBody"]["content"]
    schema = content["application/x-ndjson"]["schema"]
    assert "$ref" not in json.dumps(schema)
    jsonschema.validate(examples.ROW, schema)
    for wrong in ({}, {"number": "1", "nmae": "x"}, {"number": "1", "points": [{"kind": "telex"}]}):
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(wrong))


def test_the_examples_are_what_they_show() -> None:
    GivenRow.model_validate_json(json.dumps(examples.ROW))
    for example in examples.CREATE.values():
        GivenCustomer.model_validate_json(json.dumps(example["value"]))
    for example in examples.CHANGE.values():
        CustomerPatch.model_validate_json(json.dumps(example["value"]))


def test_no_field_of_a_change_has_a_default() -> None:
    """Generated clients send defaults: `deceased: false` would take a death back."""
    schemas = description()["components"]["schemas"]
    for schema in ("CustomerPatch", "GivenCustomership"):
        assert schemas[schema]["properties"]
        assert not [f for f, part in schemas[schema]["properties"].items() if "default" in part]
    assert "required" not in schemas["CustomerPatch"]
    body = description()["paths"]["/customers/{ident}"]["patch"]["requestBody"]["content"]
    assert body["application/json"]["schema"]["$ref"].endswith("/CustomerPatch")
