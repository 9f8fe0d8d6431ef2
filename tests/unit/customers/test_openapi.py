"""The published description of the register's HTTP surface."""

import json

import jsonschema

from services.customers.api import examples
from services.customers.model.given import CustomerPatch, GivenCustomer, GivenRow
from tests.contracts.openapi import describe


def test_a_row_is_described_whole() -> None:
    content = describe("customers")["paths"]["/customers/imports"]["post"]["requestBody"]["content"]
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
    schemas = describe("customers")["components"]["schemas"]
    for schema in ("CustomerPatch", "GivenCustomership"):
        assert schemas[schema]["properties"]
        assert not [f for f, part in schemas[schema]["properties"].items() if "default" in part]
    assert "required" not in schemas["CustomerPatch"]
    body = describe("customers")["paths"]["/customers/{ident}"]["patch"]["requestBody"]["content"]
    assert body["application/json"]["schema"]["$ref"].endswith("/CustomerPatch")
