"""The AsyncAPI description: valid by the official schema, whole, and true to the topics of the group."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from deploy.local.paths import ROOT
from kielto.acls import SERVICES
from kielto.contract.asyncapi import document
from kielto.group import load
from tests.contracts.openapi import build

TOPICS = load(ROOT / "group.yaml").topics()
DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs/contract/asyncapi.json").read_text("utf-8"))
OFFICIAL = Draft7Validator(
    json.loads((Path(__file__).parent / "asyncapi-3.0.0/schema.json").read_text("utf-8"))
)


def test_it_is_valid_by_the_official_schema() -> None:
    assert [error.message for error in OFFICIAL.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d.pop("info"),
        lambda d: d.update(asyncapi="2.6.0"),
        lambda d: d["operations"]["consents.send.party.permissions.v1"].update(action="publish"),
        lambda d: d["channels"]["marketing.events.v1"].update(address=7),
        lambda d: d["channels"]["marketing.events.v1"]["bindings"]["kafka"].update(partitions="six"),
        lambda d: d["components"]["messages"]["decision"].update(playload={}),
    ],
)
def test_the_official_schema_finds_damage(damage: Callable[[dict[str, Any]], Any]) -> None:
    damaged = copy.deepcopy(DOCUMENT)
    damage(damaged)
    assert list(OFFICIAL.iter_errors(damaged))


def at(reference: str) -> Any:
    """What a local reference points to."""
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def references(inside: Any) -> Iterator[str]:
    if isinstance(inside, dict):
        if isinstance(inside.get("$ref"), str):
            yield inside["$ref"]
        for value in inside.values():
            yield from references(value)
    elif isinstance(inside, list):
        for value in inside:
            yield from references(value)


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > 100
    for reference in found:
        assert at(reference)


def expanded(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each channel by the topics that it stands for."""
    found: dict[str, dict[str, Any]] = {}
    for channel in document["channels"].values():
        parties = channel.get("parameters", {}).get("party", {}).get("enum", [""])
        found |= {channel["address"].replace("{party}", party): channel for party in parties}
    return found


def test_it_has_every_topic_with_its_settings() -> None:
    channels = expanded(DOCUMENT)
    assert set(channels) == {t.name for t in TOPICS}
    for topic in TOPICS:
        channel = channels[topic.name]
        binding = channel["bindings"]["kafka"]
        assert binding["partitions"] == topic.partitions
        assert set(channel["messages"]) == {m.kind for m in topic.carries}
        settings = {
            k: ",".join(v) if isinstance(v, list) else str(v)
            for k, v in binding["topicConfiguration"].items()
        }
        assert settings == topic.config


@pytest.mark.parametrize("service", ["customers", "consents", "marketing"])
def test_it_says_what_each_service_sends_and_receives(service: str) -> None:
    topics = expanded(DOCUMENT)
    said = {
        (o["action"], topic)
        for name, o in DOCUMENT["operations"].items()
        if name.startswith(f"{service}.")
        for topic, channel in topics.items()
        if channel is at(o["channel"]["$ref"])
    }
    sends = {("send", t.name) for t in TOPICS if t.writer == service}
    assert said == sends | {("receive", t.name) for t in TOPICS if service in t.readers}
    assert sends


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reads_every_topic_that_names_it_as_reader(service: str) -> None:
    _, built = build(service)
    assert {s.topic for s in built.subscriptions} == {t.name for t in TOPICS if service in t.readers}


@pytest.mark.parametrize("name", DOCUMENT["components"]["messages"])
def test_an_example_is_valid_in_headers_key_and_payload(name: str) -> None:
    message = DOCUMENT["components"]["messages"][name]
    (example,) = message["examples"]
    together = {"components": DOCUMENT["components"]}
    Draft7Validator({**together, **message["payload"]}).validate(example["payload"])
    for headers in (message["headers"], DOCUMENT["components"]["messageTraits"]["cloudevent"]["headers"]):
        Draft7Validator(headers).validate(example["headers"])
    key = Draft7Validator(message["bindings"]["kafka"]["key"])
    assert not key.is_valid("")
    assert not key.is_valid(7)


def test_another_group_has_other_topics(tmp_path: Path) -> None:
    assert set(expanded(document(TOPICS[:3]))) == {t.name for t in TOPICS[:3]}


def test_a_channel_stands_for_all_parties_and_they_differ_in_the_party_alone() -> None:
    kinds = {
        "restrictions",
        "permissions",
        "customers",
        "audiences",
        "decisions",
        "acks",
        "reports",
        "results",
    }
    ours = {t.name for t in TOPICS if not t.name.startswith(("company.", "partner."))}
    assert set(DOCUMENT["channels"]) == ours | {f"party.{kind}.v1" for kind in kinds}
    by_kind: dict[str, set[str]] = {}
    for topic in TOPICS:
        if topic.name not in ours:
            said = (topic.config, topic.partitions, [m.kind for m in topic.carries])
            by_kind.setdefault(topic.name.split(".", 2)[2], set()).add(json.dumps(said))
    assert {kind for kind, said in by_kind.items() if len(said) > 1} == set()


def test_it_says_where_the_brokers_are_and_how_to_log_in() -> None:
    cluster = DOCUMENT["servers"]["cluster"]
    assert cluster["protocol"] == "kafka-secure"
    assert [at(found["$ref"])["type"] for found in cluster["security"]] == ["scramSha512"]
    assert all(at(s["$ref"]) for channel in DOCUMENT["channels"].values() for s in channel["servers"])
