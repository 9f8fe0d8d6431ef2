"""CloudEvents 1.0 in Kafka binary mode, JSON values: encode for the writers, one total `read` for all readers.

Headers: CloudEvents' own, `ce_kieltoversion` (the record's version, so that a record whose value cannot be read still
denies its key at a version) and `traceparent` (W3C). No personal data in keys or headers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from pydantic import ValidationError

from kielto.events import control
from kielto.events.base import MAX_BYTES, Event
from kielto.events.records import Record
from kielto.events.versions import Version

Headers = Sequence[tuple[str, bytes | None]]
SCHEMAS = "urn:kielto:schema:"
_HEX = re.compile(r"[0-9a-f]{64}")


class Encoded(NamedTuple):
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class TooLarge(ValueError):
    """The encoded message is above MAX_BYTES."""


def encode(
    event: Event, *, key: str, source: str, traceparent: str | None = None, ident: UUID | None = None
) -> Encoded:
    """The Kafka message of `event`. `source` is the writer (`consents`, `company.a`); raises TooLarge."""
    value = event.model_dump_json(exclude_defaults=True).encode()
    if len(value) > MAX_BYTES:
        raise TooLarge(f"{event.kind}: a message has at most {MAX_BYTES} bytes")
    name = event.type_name()
    headers = {
        "ce_specversion": "1.0",
        "ce_id": str(ident or uuid4()),
        "ce_source": f"urn:kielto:{source}",
        "ce_type": name,
        "ce_time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "ce_subject": key,
        "ce_dataschema": SCHEMAS + name,
        "content-type": "application/json",
    }
    if isinstance(event, Record):
        headers["ce_kieltoversion"] = event.version
    if traceparent:
        headers["traceparent"] = traceparent
    return Encoded(key.encode(), value, [(k, v.encode()) for k, v in headers.items()])


@dataclass(frozen=True, slots=True)
class Read:
    """A message that was read."""

    key: str
    event: Event
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A key without a value: no news to a follower."""

    key: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A message that cannot be read.

    With `key` and `version` it denies that key at that version; without either, an *unreadable key*, it shuts its
    partition. `reason` names the rule and holds nothing of the content.
    """

    reason: str
    key: str | None = None
    version: Version | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A control record of a kind that this reader does not know: skipped."""

    key: str


def is_own_key(record: type[Event], key: str) -> bool:
    """Whether `key` is an id of the topic's family: 64 hex digits, or for our internal topics a UUID."""
    if record.model_fields["subject"].annotation is UUID:
        try:
            return str(UUID(key)) == key
        except ValueError:
            return False
    return bool(_HEX.fullmatch(key))


def read(
    carries: Sequence[type[Event]], key: bytes | None, value: bytes | None, headers: Headers
) -> Read | Tombstone | Unreadable | Unknown:
    """Read one message of a topic that carries these events. Total: never raises, whatever the bytes are."""
    records = next((c for c in carries if issubclass(c, Record)), None)
    try:
        name = key.decode("ascii") if key is not None else None
    except UnicodeDecodeError:
        name = None
    texts = _texts(headers)
    if name is None:
        return Unreadable("key: is missing or no ASCII")
    if name.startswith("!"):
        return _control(carries, name, value)
    version = _version(texts)
    if records is not None and not is_own_key(records, name):
        return Unreadable("key: is no id of this topic")
    if value is None:
        return Tombstone(name)
    result = _event(carries, name, value, texts)
    if isinstance(result, str):
        return Unreadable(result, key=name if version or records is None else None, version=version)
    if isinstance(result, Record) and (
        str(getattr(result, "subject", "")) != name or result.at_version != version
    ):
        return Unreadable(
            "subject, version: differ from key and header", key=name if version else None, version=version
        )
    return Read(name, result, {k: v for k, v in texts.items() if v is not None})


def _texts(headers: Headers) -> dict[str, str | None]:
    texts: dict[str, str | None] = {}
    for name, raw in headers:
        try:
            texts[name] = raw.decode() if raw is not None else None
        except UnicodeDecodeError:
            texts[name] = None
    return texts


def _version(texts: dict[str, str | None]) -> Version | None:
    try:
        return Version.parse(texts.get("ce_kieltoversion") or "")
    except ValueError:
        return None


def _event(
    carries: Sequence[type[Event]], key: str, value: bytes, texts: dict[str, str | None]
) -> Event | str:
    for name in ("ce_specversion", "ce_id", "ce_source", "ce_type"):
        if not texts.get(name):
            return f"{name}: is missing or no text"
    if texts["ce_specversion"] != "1.0":
        return "ce_specversion: is not 1.0"
    model = next((c for c in carries if c.type_name() == texts["ce_type"]), None)
    if model is None:
        return "ce_type: is none that this topic carries"
    return _parse(model, value)


def _parse(model: type[Event], value: bytes) -> Event | str:
    if len(value) > MAX_BYTES:
        return f"value: is above {MAX_BYTES} bytes"
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        return f"value: {'.'.join(str(x) for x in first['loc']) or 'JSON'}: {first['type']}"


def _control(
    carries: Sequence[type[Event]], key: str, value: bytes | None
) -> Read | Unreadable | Unknown | Tombstone:
    kinds = {
        control.BEAT: control.Beat,
        control.SNAPSHOT: control.SnapshotComplete,
        control.VOID: control.Void,
    }
    model = kinds.get(key.split(".", 1)[0])
    if model is None or model not in carries:
        return Unknown(key)
    if value is None:
        return Tombstone(key)
    result = _parse(model, value)
    # A control record that cannot be read has no key of ours to deny: it proves nothing, so nothing opens by it.
    return Unknown(key) if isinstance(result, str) else Read(key, result)
