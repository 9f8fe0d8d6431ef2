"""Records as the follower takes them in: `envelope.read`, with a short cut for the millions that look
alike.

A value of a shape seen before is recognised by what remains of it without its 64-digit hashes (its
*template*), so that neither JSON nor pydantic is run again. Whatever is unusual in any way takes the long
way; a test holds the two equal.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import datetime

from kielto.events.base import MAX_BYTES, Event
from kielto.events.control import Beat, SnapshotComplete, Void
from kielto.events.envelope import Headers, Read, Tombstone, Unknown, Unreadable, read
from kielto.events.records import Permissions
from kielto.events.versions import Version
from kielto.subscriber.content import Content, Shapes

Item = Content | Beat | SnapshotComplete | Void | Tombstone | Unreadable | Unknown
CONTROL = (Beat, SnapshotComplete, Void)
CARRIES: tuple[type[Event], ...] = (Permissions, Beat, SnapshotComplete, Void)
TEMPLATES_KEPT = 4096

# As the writers' encoder spells it: fewer digits than a version's bounds, a UTC time, no status (a live
# record).
_HEAD = re.compile(
    rb'\{"version":"((0|[1-9]\d{0,8})\.(0|[1-9]\d{0,17}))",'
    rb'(?:"changed_at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z)",)?"subject":"([0-9a-f]{64})"'
)
_HASH = re.compile(rb'"([0-9a-f]{64})"')
_TYPE = Permissions.type_name().encode()
_Template = tuple[bytes, int, tuple[int, ...] | None]


class Decoder:
    """Reads one party's pair of topics. Total: never raises, whatever the bytes are."""

    def __init__(self, shapes: Shapes, carries: Sequence[type[Event]] = CARRIES) -> None:
        self.shapes = shapes
        self._carries = carries
        self._templates: dict[_Template, tuple[int, tuple[int, ...]]] = {}
        self._mark = secrets.token_hex(24) + "%016x"

    def read(self, key: bytes | None, value: bytes | None, headers: Headers) -> Item:
        if value is not None and key is not None and (short := self._short(key, value, headers)) is not None:
            return short
        item = read(self._carries, key, value, headers)
        if not isinstance(item, Read):
            return item
        if isinstance(item.event, Permissions):
            assert value is not None
            self._learn(item.event, value)
            return self.shapes.content(item.event, value)
        return item.event if isinstance(item.event, CONTROL) else Unknown(item.key)

    def _short(self, key: bytes, value: bytes, headers: Headers) -> Content | None:
        head = _HEAD.match(value)
        if head is None or head[5] != key or len(value) > MAX_BYTES or b'"valid_until"' in value:
            return None
        texts = dict(headers)
        try:
            plain = b"".join(texts.values()).isascii()  # type: ignore[arg-type]
        except TypeError:  # a null header
            return None
        if not (
            plain
            and texts.get("ce_kieltoversion") == head[1]
            and texts.get("ce_type") == _TYPE
            and texts.get("ce_specversion") == b"1.0"
            and texts.get("ce_source")
            and texts.get("ce_id")
        ):
            return None
        return self._known(head, value)

    def stored(self, value: bytes) -> Content:
        """A record that was read before, from a store. Raises pydantic's ValidationError."""
        head = _HEAD.match(value)
        short = None if head is None or b'"valid_until"' in value else self._known(head, value)
        if short is not None:
            return short
        event = Permissions.model_validate_json(value)
        self._learn(event, value)
        return self.shapes.content(event, value)

    def _known(self, head: re.Match[bytes], value: bytes) -> Content | None:
        parts = _HASH.split(value[head.end() :])
        known = self._templates.get(_template(parts))
        if known is None or not _is_time(head[4]):
            return None
        shape, picks = known
        hashes = tuple([int(parts[i][:16], 16) for i in picks])
        return Content(head[5].decode(), Version(int(head[2]), int(head[3])), shape, hashes, None, value)

    def _learn(self, event: Permissions, value: bytes) -> None:
        """Find out which place of the template is which slot: read it again with marks in place of all
        hashes.
        """
        head = _HEAD.match(value)
        if head is None or event.valid_until is not None:
            return
        parts = _HASH.split(value[head.end() :])
        first = {part: place for place, part in reversed(list(enumerate(parts))) if place % 2}
        marks = {self._mark % place: place for place in first.values()}
        marked = b"".join(
            b'"%b"' % (self._mark % first[p]).encode() if i % 2 else p for i, p in enumerate(parts)
        )
        subject = self._mark % (len(parts) + 1)
        again = Permissions.model_validate_json(
            b'{"version":"7.7","subject":"%b"' % subject.encode() + marked
        )
        slots = self.shapes.of(again)[1]
        overridden = again.version != "7.7" or again.subject != subject  # a field given twice: no template
        if overridden or any(slot not in marks for slot in slots):
            return
        if len(self._templates) >= TEMPLATES_KEPT:
            self._templates.clear()
        places = tuple(marks[slot] for slot in slots)
        self._templates[_template(parts)] = (self.shapes.of(event)[0], places)


def _template(parts: list[bytes]) -> _Template:
    hashes = parts[1::2]
    equal = None if len(set(hashes)) == len(hashes) else tuple(map(hashes.index, hashes))
    return b"\0".join(parts[::2]), len(parts), equal


def _is_time(text: bytes | None) -> bool:
    if text is None:
        return True
    try:
        datetime.fromisoformat(text.decode())
    except ValueError:
        return False
    return True
