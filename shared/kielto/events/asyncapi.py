"""The AsyncAPI 3.0 description of a group's topics: generated, so that it is what the code does."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from kielto.events import control
from kielto.events.base import Event
from kielto.events.envelope import MAX_KEY, SCHEMAS, encode
from kielto.events.records import Record
from kielto.events.schemas import EXAMPLE_OF, components
from kielto.events.topics import Topic
from kielto.events.versions import PATTERN

SERVICES = ("customers", "consents", "marketing")
_BINDING = "0.5.0"
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_LISTS = ("cleanup.policy",)
_TEXTS = ("message.timestamp.type",)


def document(topics: Iterable[Topic]) -> dict[str, Any]:
    """The description of these topics: one channel each, what travels on it, and which service sends or receives."""
    topics = sorted(topics, key=lambda t: t.name)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:kielto:topics",
        "info": {
            "title": "Kielto: the topics of the group",
            "version": "1.0.0",
            "description": (
                "A ban on direct marketing, said once, true everywhere, and proven. CloudEvents 1.0 in Kafka's "
                "binary mode, JSON values. State travels on pairs of compacted topics: a reader reads both and "
                "keeps, for each key, the record with the highest version. A null value is no news. Fields that "
                "a reader does not know are ignored."
            ),
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": {name: body for topic in topics for name, body in _operations(topic)},
        "components": {
            "messages": {model.kind: _message(model, example) for model, example in EXAMPLE_OF.items()},
            "messageTraits": {"cloudevent": {"headers": _HEADERS}},
            "schemas": components(),
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "description": f"Written by {topic.writer}, read by {', '.join(topic.readers)}.",
        "messages": {m.kind: {"$ref": f"#/components/messages/{m.kind}"} for m in topic.carries},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {name: _typed(name, text) for name, text in topic.config.items()},
                "bindingVersion": _BINDING,
            }
        },
    }


def _typed(name: str, text: str) -> object:
    if name in _LISTS:
        return text.split(",")
    return text if name in _TEXTS else int(text)


def _operations(topic: Topic) -> Iterator[tuple[str, dict[str, Any]]]:
    for who, action in ((topic.writer, "send"), *((reader, "receive") for reader in topic.readers)):
        if who in SERVICES:
            channel = f"#/channels/{topic.name}"
            messages = [{"$ref": f"{channel}/messages/{m.kind}"} for m in topic.carries]
            body = {
                "action": action,
                "channel": {"$ref": channel},
                "messages": messages,
                "tags": [{"name": who}],
            }
            yield f"{who}.{action}.{topic.name}", body


def _message(model: type[Event], example: Event) -> dict[str, Any]:
    name = model.type_name()
    own: dict[str, Any] = {"ce_type": {"const": name}, "ce_dataschema": {"const": SCHEMAS + name}}
    required = list(_REQUIRED)
    if issubclass(model, Record):
        own["ce_kieltoversion"] = {"type": "string", "pattern": PATTERN}
        required.append("ce_kieltoversion")
    return {
        "name": name,
        "title": model.__name__,
        "summary": " ".join((model.__doc__ or "").split("\n\n")[0].split()),
        "contentType": "application/json",
        "headers": {"type": "object", "required": required, "properties": own},
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
        "bindings": {"kafka": {"key": _key(model), "bindingVersion": _BINDING}},
        "examples": [
            {"name": model.kind, "headers": _example_headers(example), "payload": _payload(example)}
        ],
    }


def _key(model: type[Event]) -> dict[str, Any]:
    if model is control.Void:
        return {"type": "string", "pattern": rf"^!void\.{_UUID}\.[0-9]+\.[0-9]+$"}
    if model is control.Reconcile:
        return {"type": "string", "pattern": r"^!reconcile\.[a-z][a-z0-9-]{0,39}$"}
    if model in (control.Beat, control.SnapshotComplete):
        return {"type": "string", "const": f"!{model.kind}"}
    if issubclass(model, Record):
        internal = model.model_fields["subject"].annotation is UUID
        return {"type": "string", "pattern": f"^{_UUID}$" if internal else "^[0-9a-f]{64}$"}
    return {"type": "string", "minLength": 1, "maxLength": MAX_KEY}


def _example_headers(example: Event) -> dict[str, str]:
    headers = encode(example, key="a1" * 32, source="consents", ident=UUID(int=1)).headers
    return {name: raw.decode() for name, raw in headers} | {"ce_time": "2026-01-15T09:30:00Z"}


def _payload(example: Event) -> dict[str, Any]:
    return example.model_dump(mode="json", exclude_defaults=True)


_REQUIRED = ("ce_specversion", "ce_id", "ce_source", "ce_type")
_HEADERS = {
    "type": "object",
    "required": list(_REQUIRED),
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "minLength": 1},
        "ce_source": {"type": "string", "format": "uri"},
        "ce_type": {"type": "string"},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": {"type": "string", "description": "The key."},
        "ce_dataschema": {"type": "string", "format": "uri"},
        "content-type": {"const": "application/json"},
        "traceparent": {"type": "string", "description": "W3C trace context."},
    },
}
