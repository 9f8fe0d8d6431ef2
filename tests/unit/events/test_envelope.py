"""Every message survives the way through Kafka's bytes; whatever else comes is named, never raised."""

import json
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kielto.events import envelope
from kielto.events.base import MAX_BYTES, Event
from kielto.events.control import Beat, Reconcile, SnapshotComplete, Void
from kielto.events.envelope import Read, Tombstone, UnknownControl, Unreadable, encode, read
from kielto.events.records import Allow, AllowedPoint, CustomerPermissions, Permissions, Record
from kielto.events.versions import Version
from tests.unit.events.strategies import CARRIES, EVENTS, events

KEY = "ab" * 32
LANE = (Permissions, Beat, Void, SnapshotComplete)
PERMISSIONS = Permissions(
    subject=KEY,
    version="3.14",
    points=(AllowedPoint(point="cd" * 32, channel="email", allow=(Allow(purpose="own_marketing"),)),),
)
TRACE = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
TOPIC_ID = UUID("0190a0b0-0000-7000-8000-000000000001")


def key_of(event: Event) -> str:
    match event:
        case Void() | Reconcile():
            return event.key()
        case Beat() | SnapshotComplete():
            return f"!{event.kind}"
        case _:
            return str(getattr(event, "subject", KEY)) if isinstance(event, Record) else KEY


def altered(**headers: bytes | None) -> tuple[bytes, bytes, list[tuple[str, bytes | None]]]:
    """The message of PERMISSIONS with other headers; `-` in a header's name is written `__`."""
    message = encode(PERMISSIONS, key=KEY, source="consents")
    changed: dict[str, bytes | None] = dict(message.headers)
    changed |= {name.replace("__", "-"): value for name, value in headers.items()}
    return message.key, message.value, list(changed.items())


@pytest.mark.parametrize("model", EVENTS, ids=lambda m: m.kind)
@given(data=st.data())
def test_every_message_is_read_as_it_was_written(model: type[Event], data: st.DataObject) -> None:
    event = data.draw(events(model))
    carries = next(c for c in CARRIES if model in c)
    message = encode(event, key=key_of(event), source="consents", traceparent=TRACE)

    result = read(carries, message.key, message.value, message.headers)

    assert isinstance(result, Read), result
    assert result.event == event
    assert result.headers["traceparent"] == TRACE


@given(
    carries=st.sampled_from(CARRIES),
    key=st.none() | st.binary(max_size=80) | st.sampled_from([b"!beat", b"!void.x", KEY.encode(), b"!"]),
    value=st.none()
    | st.binary(max_size=200)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["subject", "version", "at", "fields"]), inner)
        ),
    ).map(lambda x: json.dumps(x).encode()),
    headers=st.dictionaries(
        st.sampled_from(["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_kieltoversion", "x"])
        | st.text(),
        st.none()
        | st.binary(max_size=40)
        | st.sampled_from([b"1.0", b"1.7", *(e.type_name().encode() for e in EVENTS)]),
    ),
)
def test_no_bytes_make_the_reader_raise(
    carries: tuple[type[Event], ...], key: bytes | None, value: bytes | None, headers: dict[str, bytes | None]
) -> None:
    result = read(carries, key, value, list(headers.items()))
    assert isinstance(result, (Read, Tombstone, UnknownControl, Unreadable))


@given(st.binary(max_size=400))
def test_no_value_under_perfect_headers_makes_the_reader_raise(value: bytes) -> None:
    for model in EVENTS:
        message = encode(PERMISSIONS, key=KEY, source="consents")
        headers = {**dict(message.headers), "ce_type": model.type_name().encode()}
        for carries in CARRIES:
            read(carries, KEY.encode(), value, list(headers.items()))


@pytest.mark.parametrize(
    "value", [b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000, b'{"n": 1e999}', b'"\\ud800"', b"\xff\xfe"]
)
def test_hostile_json_denies_its_key(value: bytes) -> None:
    key, _, headers = altered()
    result = read(LANE, key, value, headers)
    assert isinstance(result, Unreadable)
    assert (result.key, result.version) == (KEY, Version(3, 14))


@pytest.mark.parametrize(
    ("headers", "rule"),
    [
        ({"ce_type": b"kielto.permissions.v2"}, "ce_type"),
        ({"ce_type": b"kielto.beat.v1"}, "ce_type"),
        ({"ce_type": None}, "ce_type"),
        ({"ce_type": b"\xff"}, "ce_type"),
        ({"ce_id": b""}, "ce_id"),
        ({"ce_source": None}, "ce_source"),
        ({"ce_specversion": b"0.3"}, "ce_specversion"),
        ({"ce_specversion": None}, "ce_specversion"),
        ({"traceparent": None}, "headers"),
        ({"anything": b"\xc3"}, "headers"),
        ({"ce_kieltoversion": b"3.15"}, "subject, version"),
    ],
)
def test_a_record_with_wrong_headers_denies_its_key_at_the_headers_version(
    headers: dict[str, bytes | None], rule: str
) -> None:
    result = read(LANE, *altered(**headers))
    assert isinstance(result, Unreadable)
    assert result.reason.startswith(rule)
    assert result.key == KEY
    assert str(result.version) == (headers.get("ce_kieltoversion") or b"3.14").decode()


@pytest.mark.parametrize("version", [None, b"", b"3", b"03.14", b"\xff", "٣.١٤".encode()])
def test_a_record_without_a_readable_version_shuts_its_partition(version: bytes | None) -> None:
    result = read(LANE, *altered(ce_kieltoversion=version))
    assert isinstance(result, Unreadable)
    assert (result.key, result.version) == (None, None)


@pytest.mark.parametrize(
    "key",
    [
        None,
        b"",
        b"\xff",
        b"matti@example.fi",
        KEY.upper().encode(),
        KEY[:-1].encode(),
        KEY.encode() + b"\n",
        b"k" * 251,
    ],
)
def test_a_key_that_is_no_id_of_ours_shuts_its_partition(key: bytes | None) -> None:
    _, value, headers = altered()
    for content in (value, None):
        result = read(LANE, key, content, headers)
        assert isinstance(result, Unreadable)
        assert result.key is None
        assert "matti" not in result.reason


def test_internal_topics_have_uuids_as_keys() -> None:
    carries = (CustomerPermissions, Beat, Void)
    record = CustomerPermissions(subject=TOPIC_ID, version="1.1")
    key, value, headers = encode(record, key=str(TOPIC_ID), source="consents")
    assert isinstance(read(carries, key, value, headers), Read)
    for wrong in (KEY.encode(), key.upper(), b"{" + key + b"}", key.replace(b"-", b"")):
        result = read(carries, wrong, value, headers)
        assert isinstance(result, Unreadable)
        assert result.key is None


def test_a_record_under_another_records_key_denies_that_key() -> None:
    _, value, headers = altered()
    result = read(LANE, b"0" * 64, value, headers)
    assert result == Unreadable("subject, version: differ from key and header", "0" * 64, Version(3, 14))


def test_a_null_value_is_a_tombstone_on_a_state_topic_whatever_its_headers() -> None:
    assert read(LANE, KEY.encode(), None, [("x", None)]) == Tombstone(KEY)


def test_fields_we_do_not_know_are_ignored() -> None:
    key, value, headers = altered()
    grown = json.dumps({**json.loads(value), "later": {"deep": [1]}}).encode()
    result = read(LANE, key, grown, headers)
    assert isinstance(result, Read)
    assert result.event == PERMISSIONS


@pytest.mark.parametrize(
    "change",
    [
        {"status": "asleep"},
        {"points": 7},
        {"version": "x"},
        {"subject": "x"},
        {"valid_until": "2030-01-01T00:00:00"},
        {"status": "erased"},
    ],
)
def test_a_record_with_a_wrong_field_denies_its_key_and_the_reason_names_the_field(
    change: dict[str, Any],
) -> None:
    key, value, headers = altered()
    result = read(LANE, key, json.dumps({**json.loads(value), **change}).encode(), headers)
    assert isinstance(result, Unreadable)
    assert (result.key, result.version) == (KEY, Version(3, 14))
    assert "erased" in change.values() or next(iter(change)) in result.reason


def test_a_value_above_the_limit_is_refused_on_both_sides() -> None:
    allow = tuple(AllowedPoint(point="x" * 64, channel="email", allow=()) for _ in range(3000))
    with pytest.raises(envelope.MessageTooLargeError, match=str(MAX_BYTES)):
        encode(PERMISSIONS.model_copy(update={"points": allow}), key=KEY, source="consents")
    key, value, headers = altered()
    result = read(LANE, key, value + b" " * MAX_BYTES, headers)
    assert result == Unreadable(f"value: is above {MAX_BYTES} bytes", KEY, Version(3, 14))


def test_an_erased_record_carries_nothing_else() -> None:
    erased = Permissions(subject=KEY, version="3.15", status="erased")
    assert json.loads(encode(erased, key=KEY, source="consents").value) == {
        "subject": KEY,
        "version": "3.15",
        "status": "erased",
    }
    with pytest.raises(ValueError, match="nothing else"):
        Permissions(subject=KEY, version="3.15", status="erased", points=PERMISSIONS.points)


# Control records: read by their own type alone; what cannot be read proves nothing and is passed over.

VOID = Void(topic_id=TOPIC_ID, partition=3, offset=7)
SNAPSHOT = SnapshotComplete(epoch=1, generation=2, count=3, begin_restrictions=4, begin_bulk=5)


@pytest.mark.parametrize("event", [VOID, SNAPSHOT], ids=["void", "snapshot"])
def test_a_control_record_is_read_under_its_own_key_only(event: Event) -> None:
    own = key_of(event)
    _, value, headers = encode(event, key=own, source="consents")
    assert isinstance(read(LANE, own.encode(), value, headers), Read)
    for other in (own + ".1", "!beat", "!later", "!", f"!void.{TOPIC_ID}.3.8"):
        assert read(LANE, other.encode(), value, headers) == UnknownControl(other)


@pytest.mark.parametrize("header", ["ce_type", "ce_specversion", "ce_id"])
def test_a_control_record_of_another_version_or_without_headers_proves_nothing(header: str) -> None:
    key, value, headers = encode(SNAPSHOT, key="!snapshot", source="consents")
    changed = [(name, b"kielto.snapshot.v2" if name == header else text) for name, text in headers]
    if header != "ce_id":
        assert read(LANE, key, value, changed) == UnknownControl("!snapshot")
    assert read(LANE, key, value, [h for h in headers if h[0] != header]) == UnknownControl("!snapshot")
    assert read(LANE, key, b"{}", headers) == UnknownControl("!snapshot")
    assert read((Permissions, Beat), key, value, headers) == UnknownControl("!snapshot")
    assert read(LANE, key, None, headers) == Tombstone("!snapshot")


@pytest.mark.parametrize("field", ["epoch", "generation", "count", "begin_restrictions", "begin_bulk"])
def test_a_number_of_more_than_64_bits_proves_nothing(field: str) -> None:
    """A follower's columns do not hold it: `may_customers` raised at each call."""
    key, _, headers = encode(SNAPSHOT, key="!snapshot", source="consents")
    for number, known in ((2**63 - 1, True), (2**63, False), (10**30, False)):
        value = json.dumps(SNAPSHOT.model_dump() | {field: number}).encode()
        assert isinstance(read(LANE, key, value, headers), Read) is known


# Topics without state: each message is someone's act, so none may be passed over unseen.


class Note(Event):
    """A message whose field names are the writer's own: they may be anything, also personal."""

    kind: ClassVar[str] = "note"
    fields: dict[str, str | None]


NOTE: dict[str, Any] = {"fields": {}}


def note(key: bytes | None, value: Any) -> object:
    message = encode(Note.model_validate(NOTE), key="x", source="company.a")
    return read((Note,), key, value if value is None else json.dumps(value).encode(), message.headers)


def test_a_report_may_have_any_ascii_key_even_one_like_a_control_records() -> None:
    for key in (b"!beat", b"order 7", KEY.encode()):
        assert isinstance(note(key, NOTE), Read)


@pytest.mark.parametrize("key", [None, b"", "ä".encode(), b"k" * 251])
def test_a_report_without_a_usable_key_is_unreadable(key: bytes | None) -> None:
    assert note(key, NOTE) == Unreadable("key: is not 1 to 250 ASCII characters")


def test_a_report_without_a_value_is_unreadable_not_a_tombstone() -> None:
    assert note(b"k", None) == Unreadable("value: is missing", key="k")


def test_a_reason_never_repeats_content() -> None:
    result = note(b"k", {**NOTE, "fields": {"matti@example.fi": ["+358401234567"]}})
    assert result == Unreadable("value: fields: string_type", key="k")


def test_the_records_version_is_in_the_header_and_only_records_have_one() -> None:
    assert dict(encode(PERMISSIONS, key=KEY, source="x").headers)["ce_kieltoversion"] == b"3.14"
    for model in EVENTS:
        assert issubclass(model, Record) == ("version" in model.model_fields)
    assert "ce_kieltoversion" not in dict(encode(VOID, key=VOID.key(), source="x").headers)
