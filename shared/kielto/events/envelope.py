"""CloudEvents 1.0 in Kafka binary mode, JSON values: `encode` for writers, one total `read` for readers.

Headers: CloudEvents' own, `ce_kieltoversion` (the record's version, so that one whose value cannot be read
still denies its key at a version) and `traceparent` (W3C). No personal data in keys or headers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID, uuid4

from pydantic import ValidationError

from kielto.clock import utc_now
from kielto.errors import KieltoError
from kielto.events import control
from kielto.events.base import MAX_BYTES, Event
from kielto.events.records import Record
from kielto.events.versions import Version
from kielto.strict_json import NotJsonError

CE_ID, CE_SOURCE, CE_TYPE = "ce_id", "ce_source", "ce_type"
CE_SPECVERSION, SPECVERSION = "ce_specversion", "1.0"
CE_VERSION = "ce_kieltoversion"
"""The header with the version of a record."""
Headers = Sequence[tuple[str, bytes | None]]
SCHEMAS = "urn:kielto:schema:"
MAX_KEY = 250
"""Longest key, in bytes. Ours are far shorter; a company may choose those of its own reports."""
UNDECODABLE = "kielto-undecodable"
"""First header of the record that our Kafka client returns for one that it cannot decode; its value says why."""
_UNDECODABLE = {
    b"too-large": "batch: is too large when uncompressed",
    b"unknown-codec": "batch: its compression codec is not known",
    b"corrupt": "batch: cannot be decompressed",
    b"damaged": "batch: its records cannot be told apart",
}
_HEX = re.compile(r"[0-9a-f]{64}")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


class Encoded(NamedTuple):
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class MessageTooLargeError(KieltoError, ValueError):
    """The encoded message is above MAX_BYTES."""


def encode(
    event: Event, *, key: str, source: str, traceparent: str | None = None, ident: UUID | None = None
) -> Encoded:
    """The Kafka message of `event`. `source` is the writer (`consents`, `company.a`); raises MessageTooLargeError."""
    value = event.model_dump_json(exclude_defaults=True).encode()
    if len(value) > MAX_BYTES:
        raise MessageTooLargeError(f"{event.kind}: a message has at most {MAX_BYTES} bytes")
    version = event.version if isinstance(event, Record) else None
    names = headers(
        event.type_name(), key=key, source=source, version=version, traceparent=traceparent, ident=ident
    )
    return Encoded(key.encode(), value, names)


def headers(
    type_name: str,
    *,
    key: str,
    source: str,
    version: str | None = None,
    traceparent: str | None = None,
    ident: UUID | str | None = None,
) -> list[tuple[str, bytes]]:
    """The headers of one message, for `encode` and for the relay, which sends bodies as they are stored."""
    varying = {
        CE_ID: str(ident or uuid4()),
        "ce_time": f"{utc_now().isoformat()[:-6]}Z",
        "ce_subject": key,
        CE_VERSION: version,
        "traceparent": traceparent,
    }
    return [*_fixed(type_name, source), *((name, text.encode()) for name, text in varying.items() if text)]


@lru_cache
def _fixed(type_name: str, source: str) -> tuple[tuple[str, bytes], ...]:
    """The headers that all messages of one kind by one writer have."""
    return (
        (CE_SPECVERSION, SPECVERSION.encode()),
        (CE_SOURCE, f"urn:kielto:{source}".encode()),
        (CE_TYPE, type_name.encode()),
        ("ce_dataschema", f"{SCHEMAS}{type_name}".encode()),
        ("content-type", b"application/json"),
    )


@dataclass(frozen=True, slots=True)
class Read:
    """A message that was read."""

    key: str
    event: Event
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A key without a value. A follower ignores it."""

    key: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that cannot be read.

    With `key` and `version` it denies that key at that version. On a state topic without a key (an
    *unreadable key*: no id of ours, or no version in the header) it shuts its partition. `reason` names the
    rule and holds nothing of the content.
    """

    reason: str
    key: str | None = None
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class UnknownControl:
    """A control record of a kind that this reader does not know: skipped."""

    key: str


def is_own_key(record: type[Event], key: str) -> bool:
    """Whether `key` is an id of the topic's family: 64 hex digits, or for our internal topics a UUID."""
    return bool((_UUID if _is_internal(record) else _HEX).fullmatch(key))


@lru_cache
def _is_internal(record: type[Event]) -> bool:
    return record.model_fields["subject"].annotation is UUID


def read(
    carries: Sequence[type[Event]], key: bytes | None, value: bytes | None, headers: Headers
) -> Read | Tombstone | Unreadable | UnknownControl:
    """Read one message of a topic that carries these events. Total: never raises, whatever the bytes are."""
    states = _states(tuple(carries))
    records = states[0] if states else None
    name = key.decode("ascii") if key and len(key) <= MAX_KEY and key.isascii() else None
    if headers and headers[0][0] == UNDECODABLE:
        return _undecodable(records, name, headers)
    if name is None:
        return Unreadable(f"key: is not 1 to {MAX_KEY} ASCII characters")
    texts = _texts(headers)
    if records is None:
        return _message(carries, name, value, texts)
    if name.startswith("!"):
        return _control(carries, name, value, texts)
    if not is_own_key(records, name):
        return Unreadable("key: is no id of this topic")
    if value is None:
        return Tombstone(name)
    return _record(states, name, value, texts)


@lru_cache
def _states(carries: tuple[type[Event], ...]) -> tuple[type[Record], ...]:
    return tuple(c for c in carries if issubclass(c, Record))


def _undecodable(record: type[Event] | None, key: str | None, headers: Headers) -> Unreadable:
    """A writer that sets this header itself only makes its own message unreadable."""
    reason = _UNDECODABLE.get(headers[0][1] or b"", "batch: cannot be read")
    if record is None or key is None:
        return Unreadable(reason, key if record is None else None)
    version = _version(_texts(headers)) if is_own_key(record, key) else None
    return Unreadable(reason, key if version else None, version)


def _texts(headers: Headers) -> dict[str, str | None]:
    texts: dict[str, str | None] = {}
    for name, raw in headers:
        try:
            texts[name] = raw.decode() if raw is not None else None
        except UnicodeDecodeError:
            texts[name] = None
    return texts


def _message(
    carries: Sequence[type[Event]], key: str, value: bytes | None, texts: dict[str, str | None]
) -> Read | Unreadable:
    """Read a message of a topic without state. Each one counts, so it is unreadable rather than skipped."""
    result = _event(carries, value, texts) if value is not None else "value: is missing"
    return Unreadable(result, key=key) if isinstance(result, str) else _read(key, result, texts)


def _record(
    states: Sequence[type[Record]], key: str, value: bytes, texts: dict[str, str | None]
) -> Read | Unreadable:
    version = _version(texts)
    result = _event(states, value, texts)
    if isinstance(result, Record) and (
        str(getattr(result, "subject", "")) != key or result.at_version != version
    ):
        result = "subject, version: differ from key and header"
    if isinstance(result, str):
        return Unreadable(result, key=key if version else None, version=version)
    return _read(key, result, texts)


def _control(
    carries: Sequence[type[Event]], key: str, value: bytes | None, texts: dict[str, str | None]
) -> Read | UnknownControl | Tombstone:
    """Read a control record. One that cannot be read is skipped: it denies nobody, and opens no gate."""
    kind = key.split(".", 1)[0]
    model = next((c for c in carries if f"!{c.kind}" == kind and not issubclass(c, Record)), None)
    if model is None:
        return UnknownControl(key)
    if value is None:
        return Tombstone(key)
    result = _event([model], value, texts)
    if isinstance(result, str):
        return UnknownControl(key)
    named = isinstance(result, control.Void | control.Reconcile)
    expected = result.key() if named else kind  # type: ignore[attr-defined]
    return _read(key, result, texts) if key == expected else UnknownControl(key)


def _read(key: str, event: Event, texts: dict[str, str | None]) -> Read:
    return Read(key, event, {k: v for k, v in texts.items() if v is not None})


def _version(texts: dict[str, str | None]) -> Version | None:
    try:
        return Version.parse(texts.get(CE_VERSION) or "")
    except ValueError:
        return None


def _event(carries: Sequence[type[Event]], value: bytes, texts: dict[str, str | None]) -> Event | str:
    """Return the event, or the field and the rule that it breaks, without its content."""
    for name in (CE_SPECVERSION, CE_ID, CE_SOURCE, CE_TYPE):
        if not texts.get(name):
            return f"{name}: is missing or no text"
    if None in texts.values():
        return "headers: one is null or no UTF-8"
    if texts[CE_SPECVERSION] != SPECVERSION:
        return "ce_specversion: is not 1.0"
    model = next((c for c in carries if c.type_name() == texts[CE_TYPE]), None)
    if model is None:
        return "ce_type: is none that this topic carries"
    if len(value) > MAX_BYTES:
        return f"value: is above {MAX_BYTES} bytes"
    try:
        return model.read(value)
    except NotJsonError as error:
        return f"value: {error}"
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        # Only the outermost place is a name of ours for certain: the key of a mapping is content.
        return f"value: {first['loc'][0] if first['loc'] else 'JSON'}: {first['type']}"
