"""The AsyncAPI 3.0 description of a group's topics: generated, so that it is what the code does."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from kielto.acls import SERVICES
from kielto.contract.schemas import EXAMPLE_OF, components
from kielto.events import control, messages
from kielto.events.base import Event
from kielto.events.envelope import (
    CE_ID,
    CE_SOURCE,
    CE_SPECVERSION,
    CE_TYPE,
    CE_VERSION,
    MAX_KEY,
    SCHEMAS,
    SPECVERSION,
    encode,
)
from kielto.events.party import Party
from kielto.events.records import CompanyCustomer, Customer, Record
from kielto.events.topics import Topic
from kielto.events.versions import PATTERN

_ANSWERS = (messages.Acknowledgement, messages.StoreDigest, messages.StoreListing)
_WRITERS: dict[type[Event], str] = {
    **dict.fromkeys((messages.Decision, messages.Report, *_ANSWERS), "company.kauppa"),
    **dict.fromkeys((Customer, CompanyCustomer), "customers"),
    **dict.fromkeys((messages.Audience, messages.MarketingEvent, messages.Unaddressed), "marketing"),
}
"""Whose `ce_source` the examples have; everything else is written by consents."""
_BINDING = "0.5.0"
_UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_LISTS = ("cleanup.policy",)
_TEXTS = ("message.timestamp.type",)


def document(topics: Iterable[Topic]) -> dict[str, Any]:
    """The description of these topics: a channel for each of ours, and one for each kind that every party has, with the
    party as its parameter; what travels on it, and which service sends or receives.
    """
    channels = _channels(topics)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:kielto:topics",
        "info": {
            "title": "Kielto: the topics of the group",
            "version": "1.0.0",
            "description": (
                "Bans on direct marketing and permissions of a group of companies. CloudEvents 1.0 in Kafka's "
                "binary mode, JSON values. State records are on pairs of compacted topics: a reader reads both and "
                "keeps, for each key, the record with the highest version. It ignores null values, and "
                "fields that it does not know."
            ),
        },
        "defaultContentType": "application/json",
        "servers": _SERVERS,
        "channels": {name: _channel(name, alike) for name, alike in channels.items()},
        "operations": {
            operation: body
            for name, alike in channels.items()
            for operation, body in _operations(name, alike[0])
        },
        "components": {
            "messages": {model.kind: _message(model, example) for model, example in EXAMPLE_OF.items()},
            "messageTraits": {"cloudevent": {"headers": _HEADERS}},
            "schemas": components(),
            "securitySchemes": _SECURITY,
        },
    }


def _channels(topics: Iterable[Topic]) -> dict[str, list[Topic]]:
    """By channel: one topic of ours, or those of a kind that all parties have, which differ in the party alone."""
    found: dict[str, list[Topic]] = {}
    for topic in sorted(topics, key=lambda t: t.name):
        found.setdefault(_name(topic.name), []).append(topic)
    return found


def _name(topic: str) -> str:
    """`party.restrictions.v1` of `company.kauppa.restrictions.v1`; a topic of ours is its own channel."""
    party = _party(topic)
    return f"party{topic.removeprefix(party)}" if party else topic


def _party(topic: str) -> Party | None:
    """The party whose topic it is, or None."""
    try:
        return Party.parse(".".join(topic.split(".")[:2]))
    except ValueError:
        return None


def _channel(name: str, alike: list[Topic]) -> dict[str, Any]:
    topic, parties = alike[0], [party for t in alike if (party := _party(t.name))]
    who = ["the party" if w in parties else w for w in (topic.writer, *topic.readers)]
    channel = {
        "description": f"Written by {who[0]}, read by {', '.join(who[1:])}.",
        "servers": [{"$ref": "#/servers/cluster"}, {"$ref": "#/servers/local"}],
        "messages": {m.kind: {"$ref": f"#/components/messages/{m.kind}"} for m in topic.carries},
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": {name: _typed(name, text) for name, text in topic.config.items()},
                "bindingVersion": _BINDING,
            }
        },
        "address": name.replace("party", "{party}", 1) if parties else name,
    }
    if parties:
        description = "`company.<id>` or `partner.<id>`, of group.yaml."
        channel["parameters"] = {"party": {"description": description, "enum": parties}}
    return channel


def _typed(name: str, text: str) -> object:
    if name in _LISTS:
        return text.split(",")
    return text if name in _TEXTS else int(text)


def _operations(name: str, topic: Topic) -> Iterator[tuple[str, dict[str, Any]]]:
    for who, action in ((topic.writer, "send"), *((reader, "receive") for reader in topic.readers)):
        if who in SERVICES:
            channel = f"#/channels/{name}"
            messages = [{"$ref": f"{channel}/messages/{m.kind}"} for m in topic.carries]
            body = {"action": action, "channel": {"$ref": channel}, "messages": messages}
            yield f"{who}.{action}.{name}", body | {"tags": [{"name": who}]}


def _message(model: type[Event], example: Event) -> dict[str, Any]:
    name = model.type_name()
    own: dict[str, Any] = {CE_TYPE: {"const": name}, "ce_dataschema": {"const": SCHEMAS + name}}
    required = list(_REQUIRED)
    if issubclass(model, Record):
        own[CE_VERSION] = {"type": "string", "pattern": PATTERN}
        required.append(CE_VERSION)
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
            {
                "name": model.kind,
                "headers": _example_headers(example),
                "payload": example.model_dump(mode="json", exclude_defaults=True),
            }
        ],
    }


def _key(model: type[Event]) -> dict[str, Any]:
    if model is control.Void:
        return {"type": "string", "pattern": rf"^!void\.{_UUID}\.[0-9]+\.[0-9]+$"}
    if model is control.Reconcile:
        return {"type": "string", "pattern": r"^!reconcile\.[a-z][a-z0-9-]{0,39}$"}
    if model in (control.Beat, control.SnapshotComplete):
        return {"type": "string", "const": f"!{model.kind}"}
    if model in _ANSWERS:
        return {"type": "string", "pattern": rf"^[a-z][a-z0-9-]{{0,39}}/{_UUID}$"}
    if issubclass(model, Record):
        internal = model.model_fields["subject"].annotation is UUID
        return {"type": "string", "pattern": f"^{_UUID}$" if internal else "^[0-9a-f]{64}$"}
    return {"type": "string", "minLength": 1, "maxLength": MAX_KEY}


def _example_headers(example: Event) -> dict[str, str]:
    writer = _WRITERS.get(type(example), "consents")
    headers = encode(example, key="a1" * 32, source=writer, ident=UUID(int=1)).headers
    return {name: raw.decode() for name, raw in headers} | {"ce_time": "2026-01-15T09:30:00Z"}


_SERVERS = {
    "cluster": {
        "host": "{bootstrap}",
        "protocol": "kafka-secure",
        "description": "The group's brokers, over TLS; each party has its own user (SASL_SSL).",
        "variables": {"bootstrap": {"description": "Host and port.", "examples": ["kafka.example.com:9093"]}},
        "security": [{"$ref": "#/components/securitySchemes/scram"}],
    },
    "local": {
        "host": "{bootstrap}",
        "protocol": "kafka",
        "description": "What `./kielto up` starts, on loopback without encryption. It prints the port.",
        "variables": {"bootstrap": {"description": "Host and port.", "examples": ["127.0.0.1:9092"]}},
    },
}
_SECURITY = {
    "scram": {
        "type": "scramSha512",
        "description": "SASL SCRAM-SHA-512: a user for each party, and one for each service.",
    }
}
_REQUIRED = (CE_SPECVERSION, CE_ID, CE_SOURCE, CE_TYPE)
_HEADERS = {
    "type": "object",
    "required": list(_REQUIRED),
    "properties": {
        CE_SPECVERSION: {"const": SPECVERSION},
        CE_ID: {"type": "string", "minLength": 1},
        CE_SOURCE: {"type": "string", "format": "uri"},
        CE_TYPE: {"type": "string"},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_subject": {"type": "string", "description": "The key."},
        "ce_dataschema": {"type": "string", "format": "uri"},
        "content-type": {"const": "application/json"},
        "traceparent": {"type": "string", "description": "W3C trace context."},
    },
}
