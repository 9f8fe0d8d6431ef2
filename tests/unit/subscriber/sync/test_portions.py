"""Portions of many records, and single ones between them, against a plain dictionary of what a follower must
hold.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.subscriber.columnar import batch_decode
from kielto.subscriber.columnar.batch_decode import Tables
from kielto.subscriber.records.content import hash64
from kielto.subscriber.records.decode import Decoder
from kielto.subscriber.replica.follower import Follower
from tests.unit.subscriber.columnar.test_batch_decode import ClientRecord
from tests.unit.subscriber.logs import NOW, TOPICS, hexes, message, permissions

NAMES = [f"c{i}" for i in range(7)]
CHANNELS = ("email", "sms", "phone", "post")
names = st.sampled_from(NAMES)
versions = st.builds(Version, st.integers(1, 2), st.sampled_from([1, 2, 3, 2**16, 2**40]))
lanes = st.sampled_from(list(Lane))


def points_of(name: str, version: Version) -> list[tuple[str, str]]:
    """A version has one content. Points are shared, appear and go."""
    mask = sum(map(ord, name)) + version.n % 97 + version.epoch
    return [(f"p{(mask + at) % 5}", CHANNELS[at]) for at in range(mask % 4)]


def until_of(version: Version) -> datetime | None:
    """Some versions deny from a day on."""
    return NOW + timedelta(days=version.epoch) if version.n == 3 else None


def partition_of(name: str) -> int:
    return int(name[1:]) % 3


@dataclass
class HeldStore:
    version: Version
    readable: bool
    seen: dict[Lane, int] = field(default_factory=dict)
    listed: Version | None = None
    """Whose points stand in the row: an unreadable version leaves those of the one before."""


class Portions(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.follower = Follower(3.0, durable=True)
        self.follower.verify_topics(TOPICS)
        self.tables = Tables(Decoder(self.follower.image.shapes))
        self.expected: dict[str, HeldStore] = {}
        self.stored: dict[str, bytes | None] = {}
        self.next = dict.fromkeys(Lane, 0)

    @rule(lane=lanes, records=st.lists(st.tuples(names, versions), min_size=1, max_size=12))
    def portion(self, lane: Lane, records: list[tuple[str, Version]]) -> None:
        portion = []
        for name, version in records:
            points, until = points_of(name, version), until_of(version)
            told = message(permissions(name, str(version), *points, valid_until=until))
            portion.append(ClientRecord(partition_of(name), self.next[lane], *told))
            self.next[lane] += 1
            self.hold(name, version, lane, portion[-1].offset)
        block, items = self.tables.read(self.tables.see(portion))
        if block is not None:
            self.follower.read_block(lane, block)
        self.follower.read(lane, items)
        self.commit()

    def hold(self, name: str, version: Version, lane: Lane, offset: int) -> None:
        held = self.expected.get(name)
        if held is None or version > held.version:
            held = self.expected[name] = HeldStore(version, True, {}, version)
        elif version < held.version:
            return
        held.readable, held.listed = True, version
        held.seen[lane] = offset

    @rule(lane=lanes, name=names, version=versions)
    def spoiled(self, lane: Lane, name: str, version: Version) -> None:
        _, _, headers = message(permissions(name, str(version)))
        offset, self.next[lane] = self.next[lane], self.next[lane] + 1
        item = Decoder(self.follower.image.shapes).read(hexes(name).encode(), b"{", headers)
        self.follower.read(lane, [(partition_of(name), offset, item)])
        self.commit()
        held = self.expected.get(name)
        if held is None or version > held.version:
            held = self.expected[name] = HeldStore(version, False, {}, held.listed if held else None)
        if version == held.version:
            held.seen[lane] = offset

    @rule(lane=lanes)
    def recreated(self, lane: Lane) -> None:
        self.follower.image.forget_offsets(lane)
        for held in self.expected.values():
            held.seen.pop(lane, None)

    def commit(self) -> None:
        rows = self.follower.take().rows
        self.stored |= {key: value for key, value in rows.items() if value is not None}

    @invariant()
    def the_same(self) -> None:
        image = self.follower.image
        assert len(image) == len(self.expected)
        for name, held in self.expected.items():
            row = image.find(hexes(name))
            assert row is not None
            assert image.version(row) == held.version
            assert image.partition(row) == partition_of(name)
            assert bool(image.unreadable(row)) != held.readable
            assert {lane: image.seen(row, lane) for lane in Lane} == {
                lane: held.seen.get(lane, -1) for lane in Lane
            }
            until = until_of(held.listed) if held.listed else None
            assert image.until.get(row) == (until.timestamp() if until else None)
            listed = points_of(name, held.listed) if held.listed else []
            assert set(image.hashes(row)) == {hash64(hexes(p)) for p, _ in listed}
            if held.readable:
                assert {(c, hash64(hexes(p))) for p, c in listed} == {
                    (channel, hash_)
                    for point, hash_ in zip(image.shape(row).points, image.hashes(row), strict=True)
                    for channel in point
                }
                version = f'"version":"{held.version}"'.encode()
                assert version in (self.stored[hexes(name)] or b"")
        assert image.count_unreadable == sum(not held.readable for held in self.expected.values())

    @rule(point=st.integers(0, 4))
    def asked(self, point: int) -> None:
        """Brings the index of points up to date, at any moment."""
        image = self.follower.image
        holding = {row for row, _ in image.holders(hash64(hexes(f"p{point}")))}
        assert holding == {
            image.find(hexes(name))
            for name, held in self.expected.items()
            if held.listed and any(p == f"p{point}" for p, _ in points_of(name, held.listed))
        }


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_decode, "FEW", 1)


class TestPortions(Portions.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_a_version_that_cannot_be_read_at_first_is_seen_where_it_came_last() -> None:
    """The unreadable one is taken in after the portion's others, though it came before."""
    follower = Follower(3.0, durable=False)
    told = [message(permissions(name, "1.1", ("p0", "email"))) for name in [*NAMES, NAMES[0]]]
    told[0] = told[0]._replace(value=b"{")
    tables = Tables(Decoder(follower.image.shapes))
    block, items = tables.read(tables.see([ClientRecord(0, at, *each) for at, each in enumerate(told)]))
    assert block is not None
    follower.read_block(Lane.BULK, block)
    follower.read(Lane.BULK, items)
    row = follower.image.find(hexes(NAMES[0]))
    assert row is not None
    assert follower.image.seen(row, Lane.BULK) == len(NAMES)


def test_what_is_held_and_comes_again_is_not_read_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot is said anew under an open gate: everything is listed by its address by then."""
    follower = Follower(3.0, durable=False)
    tables = Tables(Decoder(follower.image.shapes))
    told = [message(permissions(name, "1.1", ("p0", "email"))) for name in NAMES]
    for beginning in (0, len(NAMES)):
        records = [ClientRecord(0, beginning + at, *each) for at, each in enumerate(told)]
        block, items = tables.read(tables.see(records))
        assert block is not None
        assert not items
        follower.read_block(Lane.BULK, block)
        assert len(follower.image.holders(hash64(hexes("p0")))) == len(NAMES)
        monkeypatch.setattr(follower, "_record", None)
    assert [follower.image.seen(row, Lane.BULK) for row in range(len(NAMES))] == list(range(7, 14))
