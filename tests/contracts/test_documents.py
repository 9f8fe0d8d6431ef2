"""The committed descriptions are those of the code, and are valid by their own standards."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from deploy.local.paths import ROOT
from kielto.contract.__main__ import main
from kielto.contract.documents import files, releases
from kielto.contract.schemas import EXAMPLE_OF, schemas
from kielto.events.base import Event
from kielto.events.envelope import SCHEMAS
from kielto.group import load
from tests.unit.events.strategies import EVENTS, events

CONTRACT = ROOT / "docs/contract"
ALL = schemas()
GENERATED = files(load(ROOT / "group.yaml"))


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


@pytest.mark.parametrize("name", GENERATED)
def test_what_is_committed_is_what_the_code_says(name: str) -> None:
    path = CONTRACT / name
    fresh = path.exists() and path.read_text("utf-8") == GENERATED[name]
    assert fresh, f"{name}: regenerate with `python -m kielto.contract write docs/contract`"


def test_nothing_else_is_committed_as_a_schema() -> None:
    assert {f"schemas/{p.name}" for p in (CONTRACT / "schemas").iterdir()} == set(GENERATED) - {
        "asyncapi.json"
    }


def test_every_event_of_every_topic_has_a_schema_and_an_example() -> None:
    assert set(EXAMPLE_OF) == set(EVENTS)


@pytest.mark.parametrize("name", ALL)
def test_a_schema_is_valid_and_its_example_too(name: str) -> None:
    schema = ALL[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == SCHEMAS + name
    (example,) = schema["examples"]
    validator(schema).validate(example)
    assert list(validator(schema).iter_errors({})), "an empty object is valid: the schema says nothing"


@pytest.mark.parametrize("model", EVENTS, ids=lambda m: m.kind)
@settings(max_examples=25)
@given(data=st.data())
def test_every_message_that_we_can_write_is_valid(model: type[Event], data: st.DataObject) -> None:
    event = data.draw(events(model))
    written = json.loads(event.model_dump_json(exclude_defaults=True))
    validator(ALL[model.type_name()]).validate(written)


def test_writing_replaces_what_is_old_and_releases_are_numbered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    stale = tmp_path / "schemas" / "kielto.gone.v1.json"
    stale.parent.mkdir()
    stale.write_text("{}")
    assert main(["write", str(tmp_path)]) == 0
    assert {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.json")} == set(GENERATED)
    assert [main(["release", str(tmp_path)]) for _ in range(2)] == [0, 0]
    assert releases(tmp_path) == [ALL, ALL]
    assert main(["rewrite", str(tmp_path)]) == 2


def test_every_committed_openapi_description_is_valid() -> None:
    for path in CONTRACT.glob("openapi-*.json"):
        description = json.loads(path.read_text("utf-8"))
        assert description["openapi"].startswith("3.1"), path.name
        OpenAPIV31SpecValidator(description).validate()


def test_an_invalid_openapi_description_would_be_found() -> None:
    broken = {"openapi": "3.1.0", "info": {"title": "t"}, "paths": {}}
    assert list(OpenAPIV31SpecValidator(broken).iter_errors())
