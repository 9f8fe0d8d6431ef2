"""Many records read at once say exactly what the contract's reader says of each."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kielto.events.envelope import Encoded, Headers
from kielto.events.records import Permissions
from kielto.subscriber.columnar import batch_decode
from kielto.subscriber.columnar.batch_decode import Tables
from kielto.subscriber.records.content import Content, Shapes
from kielto.subscriber.records.decode import Decoder
from tests.unit.subscriber.logs import beat, hexes, message, permissions, snapshot
from tests.unit.subscriber.records.test_decode import CHANGES, header_changes, hostile, long_way, records


class ClientRecord(NamedTuple):
    """As a Kafka client gives it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers


def differences(messages: list[tuple[bytes | None, bytes | None, Headers]]) -> list[object]:
    """Whatever `Tables` says that the long way does not; each message is given twice, in one call."""
    shapes = Shapes()
    given_ = [ClientRecord(at % 3, at, *told) for at, told in enumerate([*messages, *messages])]
    tables = Tables(Decoder(shapes))
    block, items = tables.read(tables.see(given_))
    said = {offset: (partition, item) for partition, offset, item in items}
    for at in range(0 if block is None else len(block.keys)):
        assert block is not None
        said[int(block.offsets[at])] = int(block.partitions[at]), block.content(at)
    expected = {r.offset: (r.partition, long_way(shapes, r.key, r.value, r.headers)) for r in given_}
    return [(expected[at], said.get(at)) for at in expected if said.get(at) != expected[at]]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_decode, "FEW", 1)


changed = st.tuples(
    records, st.sampled_from(["none"] * 6 + CHANGES), st.none() | st.none() | header_changes, st.booleans()
)


def told(event: Permissions, change: str, header: tuple[str, bytes | None] | None, other: bool) -> Encoded:
    key, _, headers = message(event)
    if header is not None:
        headers = [*headers, header]  # type: ignore[list-item]
    if other:
        headers = [(name, b"1.1" if name == "ce_kieltoversion" else text) for name, text in headers]
    return Encoded(key, hostile(event, change), headers)


@pytest.mark.usefixtures("few")
def test_read_at_once_and_singly() -> None:
    @given(st.lists(changed, min_size=1, max_size=12))
    def same(changes: list[tuple[Permissions, str, tuple[str, bytes | None] | None, bool]]) -> None:
        assert differences([told(*each) for each in changes]) == []

    same()


VALUE = message(permissions("a", "1.1", ("m", "email"), ("t", "sms"), ("t", "phone"))).value
OWN_KEY = hexes("a").encode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"2026-01-01", b"2026-02-31"),
        (b"2026-01-01", b"2024-02-29"),
        (b"2026-01-01", b"2026-13-01"),
        (b"2026-01-01", b"2026-00-10"),
        (b"2026-01-01", b"2026-01-00"),
        (b"2026-01-01", b"0000-01-01"),
        (b"2026-01-01T00", b"2026-01-01T24"),
        (b"2026-01-01T00:00", b"2026-01-01T00:60"),
        (b"2026-01-01T00:00:00", b"2026-01-01T00:00:60"),
        (b"2026-01-01T", b"2026-01-0:T"),
        (b"2026-01-01T", b"2026-01-01 "),
        (b'"1.1"', b'"1.2"'),
        (b'"1.1"', b'"2:1"'),
        (OWN_KEY, hexes("b").encode()),
        (OWN_KEY, OWN_KEY.upper()),
        (hexes("m").encode(), hexes("m").upper().encode()),
        (hexes("m").encode(), b"g" + hexes("m").encode()[1:]),
        (hexes("m").encode(), hexes("t").encode()),
        (b'"channel":"sms"', b'"channel":"sm5"'),
        (b"own_marketing", b'own_mark"ting'),
    ],
)  # fmt: skip
def test_one_that_nearly_fits(old: bytes, new: bytes) -> None:
    assert old in VALUE
    alike = [
        message(permissions(n, "1.1", (f"m{n}", "email"), (f"t{n}", "sms"), (f"t{n}", "phone")))
        for n in "bcd"
    ]
    _, _, headers = message(permissions("a", "1.1"))
    assert differences([*alike, (OWN_KEY, VALUE.replace(old, new), headers), *alike]) == []
    twin = VALUE.replace(
        hexes("t").encode(), hexes("u").encode(), 1
    )  # two hashes, where others have one twice
    assert differences([*alike, (OWN_KEY, twin, headers)]) == []


def test_the_short_cut_is_taken_beside_others() -> None:
    alike = [message(permissions(f"c{n}", f"1.{n}", (f"m{n}", "email"))) for n in range(1, 10)]
    others = [message(beat(1)), message(snapshot()), (b"!x", b"{}", []), (hexes("t").encode(), None, [])]
    given_ = [ClientRecord(0, at, *each) for at, each in enumerate([*others, *alike])]
    tables = Tables(Decoder(Shapes()))
    block, items = tables.read(tables.see(given_))
    assert block is not None
    assert len(block.keys) == 9
    assert [type(item) is Content for _, _, item in items] == [False] * 4
    assert differences([*others, *alike]) == []


def test_a_first_look_keeps_order_and_only_what_is_read() -> None:
    ordinary = [message(permissions(f"c{n}", f"1.{1 + n % 2}", (f"m{n}", "email"))) for n in range(6)]
    key, value, headers = message(permissions("d", "1.1"))
    odd: list[tuple[bytes, bytes | None, Headers]]
    odd = [message(beat(1)), (key, None, headers), (key, value, [*headers, ("more", None)])]
    told = [ordinary[0], odd[0], *ordinary[1:4], odd[1], ordinary[4], odd[2], ordinary[5]]
    given_ = [ClientRecord(0, at, *each) for at, each in enumerate(told)]
    seen = Tables(Decoder(Shapes())).see(given_)
    assert seen.offsets == list(range(len(told)))
    assert seen.keys == [r.key for r in given_]
    assert [seen.headers[at] is given_[at].headers for at in range(9)] == [each in odd for each in told]
    assert len({id(kept) for kept, said in zip(seen.headers, seen.said, strict=True) if said}) == 2
    first = seen.take(4)
    assert [*first.offsets, *seen.offsets] == list(range(9))
    assert (len(first), len(seen)) == (4, 5)
    assert [len(column) for column in seen.columns] == [5] * 6
    first.extend(seen)
    assert first == Tables(Decoder(Shapes())).see(given_)
