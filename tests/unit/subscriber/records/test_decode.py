"""The short cut of decoding says exactly what the contract's reader says."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kielto.events.control import Beat
from kielto.events.envelope import CE_VERSION, Headers, Read, Tombstone, UnknownControl, Unreadable, read
from kielto.events.records import Allow, AllowedPoint, Permissions
from kielto.events.words import Recipient, Status
from kielto.subscriber.records import decode
from kielto.subscriber.records.content import Content, Shapes, hash64
from kielto.subscriber.records.decode import CARRIES, Decoder
from tests.unit.subscriber.logs import NOW, OWN, beat, hexes, message, permissions, snapshot

names = st.sampled_from(["a", "b", "c", "d"])
allows = st.builds(
    Allow,
    purpose=st.sampled_from(["own_marketing", "partner_marketing", "tomorrow's"]),
    partner=st.sampled_from([None, "matkat"]),
    mode=st.sampled_from([None, "we_send"]),
    product_groups=st.sampled_from([None, (), ("mobile",), ("mobile", "solar")]),
)
points = st.builds(
    AllowedPoint,
    point=st.one_of(names.map(hexes), st.sampled_from(["short", "é", "f" * 63, 'q"uote'])),
    channel=st.sampled_from(["email", "sms", "phone", "smoke"]),
    allow=st.lists(allows, max_size=3).map(tuple),
)
erasures = st.builds(
    Permissions, version=st.just("1.9"), status=st.just(Status.ERASED), subject=names.map(hexes)
)
live = st.builds(
    Permissions,
    version=st.sampled_from(["1.1", "1.22", "2.3", "2147483647.9223372036854775807", "0.0"]),
    status=st.sampled_from([Status.LIVE, Status.LIVE, Status.ALIAS]),
    changed_at=st.sampled_from([None, NOW, NOW.replace(microsecond=120)]),
    subject=names.map(hexes),
    recipient=st.sampled_from([None, Recipient.NATURAL]),
    numbers=st.lists(names.map(hexes), max_size=3).map(tuple),
    points=st.lists(points, max_size=4).map(tuple),
    valid_until=st.sampled_from([None, None, NOW]),
    decision=st.sampled_from([None, hexes("a"), hexes("z")]),
)
records = live | live | erasures


def long_way(shapes: Shapes, key: bytes | None, value: bytes | None, headers: Headers) -> Any:
    item = read(CARRIES, key, value, headers)
    if isinstance(item, Read) and isinstance(item.event, Permissions):
        assert value is not None
        return shapes.content(item.event, value)
    return item.event if isinstance(item, Read) else item


@given(st.lists(records, min_size=1, max_size=12))
def test_short_and_long_way_read_the_same(events: list[Permissions]) -> None:
    decoder = Decoder(Shapes())
    for event in [*events, *events]:  # the second time a template is known, where there is one
        encoded = message(event)
        assert decoder.read(*encoded) == long_way(decoder.shapes, *encoded)


def hostile(event: Permissions, change: str) -> bytes:
    """The record's value, changed so that a careless short cut would still take it."""
    value = message(event).value
    match change:
        case "field twice":
            return value[:-1] + b',"version":"1.1"}'
        case "subject twice":
            return value[:-1] + b',"subject":"%b"}' % hexes("z").encode()
        case "no such day":
            return value.replace(b"2026-01-01", b"2026-02-31")
        case "upper case":
            return value.replace(hexes("a").encode(), hexes("a").upper().encode())
        case "cut":
            return value[:-1]
        case "trailing":
            return value + b" x"
        case "spaces":
            return json.dumps(json.loads(value), indent=1).encode()
        case "unknown field":
            return value[:-1] + b',"tomorrow":{"hash":"%b"}}' % hexes("q").encode()
        case "nul":
            return value.replace(b'","', b'"\0,"', 1)
        case _:
            return value


CHANGES = ["field twice", "subject twice", "no such day", "upper case", "cut", "trailing", "spaces",
           "unknown field", "nul", "none"]  # fmt: skip


@given(st.lists(st.tuples(records, st.sampled_from(CHANGES), st.booleans()), min_size=1, max_size=8))
def test_hostile_values_are_read_the_same(changed: list[tuple[Permissions, str, bool]]) -> None:
    decoder = Decoder(Shapes())
    for event, change, other_version in [*changed, *changed]:
        key, _, headers = message(event)
        if other_version:
            headers = [(name, b"1.1" if name == "ce_kieltoversion" else text) for name, text in headers]
        value = hostile(event, change)
        assert decoder.read(key, value, headers) == long_way(decoder.shapes, key, value, headers)


header_changes = st.sampled_from(
    [
        ("ce_type", b"kielto.permissions.v2"),
        ("ce_specversion", b"0.3"),
        ("ce_id", b""),
        ("ce_id", b"\xff"),
        ("ce_source", None),
        ("ce_kieltoversion", b"01.1"),
        ("ce_kieltoversion", None),
        ("traceparent", b"\xff"),
        ("ce_id", "é".encode()),
    ]
)


@given(header_changes, st.sampled_from([None, b"\xff", b"nonsense", b"!beat", b"!else", hexes("b").encode()]))
def test_headers_and_keys_are_judged_the_same(change: tuple[str, bytes | None], key: bytes | None) -> None:
    decoder = Decoder(Shapes())
    own, value, headers = message(permissions("a", "1.1", ("mail", "email")))
    decoder.read(own, value, headers)
    changed = [*headers, change]  # the last one counts
    for k, h in ((own, changed), (key, headers)):
        assert decoder.read(k, value, h) == long_way(decoder.shapes, k, value, h)


def test_the_short_cut_is_taken() -> None:
    decoder = Decoder(Shapes())
    decoder.read(*message(permissions("a", "1.1", ("mail", "email"), ("tel", "sms"), ("tel", "phone"))))
    same = message(permissions("b", "2.17", ("mail2", "email"), ("tel2", "sms"), ("tel2", "phone")))
    short = decoder._short(*same)
    assert short is not None
    assert short.hashes == (hash64(hexes("mail2")), hash64(hexes("tel2")))
    assert len(decoder.shapes) == 2  # and the one that lists nothing


def test_the_other_kinds() -> None:
    decoder = Decoder(Shapes())
    assert isinstance(decoder.read(*message(beat(1))), Beat)
    assert decoder.read(*message(snapshot())) == snapshot()
    assert isinstance(decoder.read(hexes("a").encode(), None, []), Tombstone)
    assert isinstance(decoder.read(b"!tomorrow", b"{}", []), UnknownControl)
    assert isinstance(decoder.read(b"", b"{}", []), Unreadable)


def test_allowances_of_one_point_are_joined() -> None:
    limited = Allow(purpose="own_marketing", product_groups=("mobile",))
    for allow, groups in (
        ((limited,), frozenset(["mobile"])),
        ((limited, OWN), None),
        ((OWN, limited), None),
    ):
        listed = (AllowedPoint(point=hexes("m"), channel="email", allow=allow),)
        shapes = Shapes()
        content = shapes.content(Permissions(version="1.1", subject=hexes("a"), points=listed), b"")
        assert isinstance(content, Content)
        assert shapes[content.shape].points[0]["email"]["own_marketing", None, None] == groups


def test_of_what_cannot_be_read_nothing_long_is_kept() -> None:
    event = Permissions(version="1.1", changed_at=NOW, subject=hexes("a"))
    key, value, headers = message(event)
    time = value.split(b'"changed_at":"')[1].split(b'"')[0]
    kept = [cache.cache_info().currsize for cache in (decode._version_of, decode._is_time)]
    decoder = Decoder(Shapes())
    for number in range(20):
        junk = b"%d" % number + b"x" * 250_000
        assert isinstance(decoder.read(key, value.replace(time, junk), headers), Unreadable)
        long_version = [(name, junk if name == CE_VERSION else text) for name, text in headers]
        assert isinstance(decoder.read(key, value, long_version), Unreadable)
    assert kept == [cache.cache_info().currsize for cache in (decode._version_of, decode._is_time)]
