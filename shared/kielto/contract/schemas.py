"""JSON Schema (2020-12) of every message, generated from the models, by CloudEvents type."""

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from kielto.contract.examples import EXAMPLES
from kielto.events.base import Event
from kielto.events.envelope import SCHEMAS

DIALECT = "https://json-schema.org/draft/2020-12/schema"

EXAMPLE_OF: Mapping[type[Event], Event] = {type(e): e for e in sorted(EXAMPLES, key=lambda e: e.type_name())}


class PlainSchema(GenerateJsonSchema):
    """Without a title for each field: it only repeats the field's name."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        return False


def schemas() -> dict[str, dict[str, Any]]:
    """`kielto.permissions.v1` → its schema. `$id` is what the messages' `ce_dataschema` says."""
    return {model.type_name(): _schema(model) for model in EXAMPLE_OF}


def components() -> dict[str, Any]:
    """The same as one set of named schemas that refer to each other at `#/components/schemas/`."""
    mode: JsonSchemaMode = "validation"
    _, together = models_json_schema(
        [(model, mode) for model in EXAMPLE_OF],
        ref_template="#/components/schemas/{model}",
        schema_generator=PlainSchema,
    )
    return dict(together["$defs"])


def _schema(model: type[Event]) -> dict[str, Any]:
    schema = model.model_json_schema(schema_generator=PlainSchema)
    example = EXAMPLE_OF[model].model_dump(mode="json", exclude_defaults=True)
    return {"$schema": DIALECT, "$id": SCHEMAS + model.type_name(), **schema, "examples": [example]}
