"""Decodes records as `envelope.read` does, with a short cut for the millions that look alike.

What remains of a record without its key, version, time and 64-digit hashes is its *template*. A value that fits a known
template is decoded without JSON or pydantic. Anything unusual is decoded in full; a test holds the two equal.
"""

import contextlib
import re
import secrets
from binascii import Error as NoHex
from binascii import unhexlify
from datetime import datetime
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from pydantic import ValidationError

from kielto.events import envelope
from kielto.events.base import MAX_BYTES, Event
from kielto.events.control import Beat, Reconcile, SnapshotComplete, Void
from kielto.events.envelope import Headers, Tombstone, UnknownControl, Unreadable
from kielto.events.records import Permissions
from kielto.events.versions import RECORD_HEAD, Version
from kielto.events.words import Status
from kielto.subscriber.records.content import Content, Shapes

Item = Content | Beat | SnapshotComplete | Void | Reconcile | Tombstone | Unreadable | UnknownControl
CONTROL = (Beat, SnapshotComplete, Void)
CARRIES: tuple[type[Event], ...] = (Permissions, Beat, SnapshotComplete, Void, Reconcile)
KEPT = 4096
"""How many templates, versions and times to remember."""

# As the writers' encoder spells it. A record that is not live has its status in between, and is decoded in full.
_CHANGED_AT, _SUBJECT = b'","changed_at":"', b'","subject":"'
_TEXT = rb'[^"\\]*'
_HEAD = re.compile(
    re.escape(RECORD_HEAD) + _TEXT + rb"(?:" + _CHANGED_AT + _TEXT + rb")?" + _SUBJECT + _TEXT + rb'"'
)
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")
_HASH = re.compile(rb'"([0-9a-f]{64})"')
_TYPE, _SPECVERSION = Permissions.type_name().encode(), envelope.SPECVERSION.encode()


class RecordTemplate(NamedTuple):
    parts: Struct
    """Unpacks what follows the key: texts and hashes by turns."""
    texts: tuple[bytes, ...]
    """The texts after the key; a hash stands between each two of them."""
    equal: tuple[int, ...]
    """For each hash, the place of the first equal one."""
    distinct: int
    slots: Struct
    """Unpacks key and hashes as bytes: the first 96 bits of the key, and 64 bits of each slot of the shape."""
    places: tuple[int, ...]
    """Which of the hashes are the slots of the shape."""
    shape: int


class RecordLayout(NamedTuple):
    """Where the parts of a record's value stand that fits a template."""

    version: slice
    time: slice
    """Empty when the value has no time."""
    key_at: int
    template: RecordTemplate


class Decoder:
    """Decodes the records of one party's two topics. `read` never raises, whatever the bytes are."""

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self._templates: dict[int, list[RecordTemplate]] = {}  # by length
        self._mark = secrets.token_hex(24) + "%016x"

    def read(self, key: bytes | None, value: bytes | None, headers: Headers) -> Item:
        if key is not None and value is not None and (short := self._short(key, value, headers)) is not None:
            return short
        item = envelope.read(CARRIES, key, value, headers)
        if not isinstance(item, envelope.Read):
            return item
        if isinstance(item.event, Permissions):
            assert value is not None
            return self._long(item.event, value)
        if isinstance(item.event, Reconcile):
            return item.event
        return item.event if isinstance(item.event, CONTROL) else UnknownControl(item.key)

    def stored(self, key: str, version: Version, value: bytes) -> Content:
        """Decode a record that a store kept. Raises pydantic's ValidationError."""
        short = self._known(key.encode(), str(version).encode(), value)
        return short or self._long(Permissions.model_validate_json(value), value)

    def _short(self, key: bytes, value: bytes, headers: Headers) -> Content | None:
        texts = dict(headers)
        try:
            plain = b"".join(texts.values()).isascii()  # type: ignore[arg-type]
        except TypeError:  # a null header
            return None
        if (
            plain
            and texts.get(envelope.CE_TYPE) == _TYPE
            and texts.get(envelope.CE_SPECVERSION) == _SPECVERSION
            and texts.get(envelope.CE_SOURCE)
            and texts.get(envelope.CE_ID)
        ):
            return self._known(key, texts.get(envelope.CE_VERSION) or b"", value)
        return None

    def _known(self, key: bytes, version: bytes, value: bytes) -> Content | None:
        known = _version_of(version) if len(version) <= LONGEST else None
        at = self._after_head(key, version, value)
        if known is None or at == 0 or len(key) != 64 or len(value) > MAX_BYTES:
            return None
        for template in self._templates.get(len(value) - at, ()):
            parts = template.parts.unpack_from(value, at)
            hashes = parts[1::2]
            if parts[::2] == template.texts and _same(hashes, template):
                joined = key + b"".join(hashes)
                if not joined.islower():
                    return None
                try:
                    hi, lo, *slots = template.slots.unpack(unhexlify(joined))
                except NoHex:
                    return None
                return Content(key.decode(), (hi, lo), known, template.shape, tuple(slots), None, value)
        return None

    def layout(self, key: bytes, version: bytes, value: bytes) -> RecordLayout | None:
        """Where the parts of this value stand, if it fits a template: records of one template and one length differ
        at these places only.
        """
        if self._known(key, version, value) is None:  # a first one teaches its template, if it is one
            with contextlib.suppress(ValidationError):
                self._long(Permissions.model_validate_json(value), value)
        at = self._after_head(key, version, value)
        for template in self._templates.get(len(value) - at, ()) if at else ():
            parts = template.parts.unpack_from(value, at)
            if parts[::2] == template.texts and _same(parts[1::2], template):
                key_at = at - 1 - len(key)
                until = len(RECORD_HEAD) + len(version)
                time_at = until + len(_CHANGED_AT)
                time = slice(time_at, max(time_at, key_at - len(_SUBJECT)))
                return RecordLayout(slice(len(RECORD_HEAD), until), time, key_at, template)
        return None

    def _after_head(self, key: bytes, version: bytes, value: bytes) -> int:
        """Where the template begins, or 0 when the value does not begin as expected."""
        head = RECORD_HEAD + version + _CHANGED_AT
        if value.startswith(head):
            end = value.find(b'"', len(head))
            time = value[len(head) : end]
            if len(time) > LONGEST or not _is_time(time):
                return 0
            rest = _SUBJECT + key + b'"'
            return end + len(rest) if value.startswith(rest, end) else 0
        head = RECORD_HEAD + version + _SUBJECT + key + b'"'
        return len(head) if value.startswith(head) else 0

    def _long(self, event: Permissions, value: bytes) -> Content:
        content = self.shapes.content(event, value)
        head = _HEAD.match(value)
        if head is not None and event.valid_until is None and event.status is not Status.ERASED:
            self._remember(value[head.end() :], content.shape)
        return content

    def _remember(self, rest: bytes, shape: int) -> None:
        if (template := self._template(rest, shape)) is not None:
            if sum(map(len, self._templates.values())) >= KEPT:
                self._templates.clear()
            alike = self._templates.setdefault(len(rest), [])
            if all((t.texts, t.equal) != (template.texts, template.equal) for t in alike):
                alike.append(template)

    def _template(self, rest: bytes, shape: int) -> RecordTemplate | None:
        """Decode the record again with marks instead of hashes, to learn which place is which slot of the shape."""
        parts = _HASH.split(rest)
        hashes = parts[1::2]
        equal = tuple(map(hashes.index, hashes))
        marks = [(self._mark % place).encode() for place in equal]
        marked = b"".join(b'%b"%b"' % pair for pair in zip(parts[::2], marks, strict=False)) + parts[-1]
        subject = self._mark % len(parts)
        again = Permissions.model_validate_json(
            RECORD_HEAD + b"7.7" + _SUBJECT + subject.encode() + b'"' + marked
        )
        number, listed = self.shapes.of(again)
        slots = [slot.encode() for slot in listed]
        places = [marks.index(slot) if slot in marks else -1 for slot in slots]
        if (
            again.version != "7.7"
            or number != shape
            or again.subject != subject
            or places != sorted(set(places))
            or -1 in places
        ):
            return None  # a field given twice, a point that is no hash, an order of its own
        edges = [b'"' * bool(i) + text + b'"' * (i < len(hashes)) for i, text in enumerate(parts[::2])]
        sizes = "64s".join(f"{len(text)}s" for text in edges)
        layout = ">QI20x" + "".join("Q24x" if place in places else "32x" for place in range(len(hashes)))
        slots_of = Struct(layout)
        return RecordTemplate(
            Struct(sizes), tuple(edges), equal, len(set(hashes)), slots_of, tuple(places), shape
        )


LONGEST = 48
"""Bytes of a version or a time; no valid one has more. A longer text is never cached: it may have a megabyte."""


def parse_version(text: bytes) -> Version | None:
    try:
        return Version.parse(text.decode("ascii"))
    except ValueError:
        return None


_version_of = lru_cache(KEPT)(parse_version)


@lru_cache(KEPT)
def _is_time(text: bytes) -> bool:
    try:
        return bool(_TIME.fullmatch(text) and datetime.fromisoformat(text.decode()))
    except ValueError:
        return False


def _same(hashes: tuple[bytes, ...], template: RecordTemplate) -> bool:
    """Whether exactly those hashes are equal that were equal in the template's record."""
    if len(set(hashes)) != template.distinct:
        return False
    if len(hashes) == template.distinct:
        return True
    return all(hashes[i] == hashes[first] for i, first in enumerate(template.equal))
