"""Any CloudEvents reader reads our messages: the official SDK does."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

from kielto.contract.schemas import EXAMPLE_OF
from kielto.events.base import Event
from kielto.events.envelope import encode
from kielto.events.records import Record

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
IDENT = UUID("0190a0b0-9999-7000-8000-000000000009")


@pytest.mark.parametrize("event", EXAMPLE_OF.values(), ids=lambda e: e.kind)
def test_the_official_sdk_reads_it(event: Event) -> None:
    message = encode(event, key="a1" * 32, source="consents", traceparent=TRACE, ident=IDENT)

    read = from_binary_event(KafkaMessage(dict(message.headers), message.key, message.value))

    assert read.get_specversion() == "1.0"
    assert read.get_id() == str(IDENT)
    assert read.get_source() == "urn:kielto:consents"
    assert read.get_type() == f"kielto.{event.kind}.v1"
    assert read.get_subject() == "a1" * 32
    assert read.get_dataschema() == f"urn:kielto:schema:kielto.{event.kind}.v1"
    assert read.get_datacontenttype() == "application/json"
    when = read.get_time()
    assert when is not None
    assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)
    data = read.get_data()
    assert data == json.loads(message.value)
    assert type(event).model_validate(data) == event
    assert read.get_extension("kieltoversion") == (event.version if isinstance(event, Record) else None)


def test_every_header_name_is_one_that_the_standard_allows() -> None:
    for event in EXAMPLE_OF.values():
        for name, _ in encode(event, key="k", source="consents").headers:
            assert name == "content-type" or name.removeprefix("ce_").isalnum()
            assert name == name.lower()
