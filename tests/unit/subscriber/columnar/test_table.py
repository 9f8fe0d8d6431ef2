"""The columns and indexes against plain dictionaries."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.subscriber.columnar.arrays import Many, Rows
from kielto.subscriber.columnar.hash_index import Index
from kielto.subscriber.columnar.table import NEVER, Image
from kielto.subscriber.records.content import Content, hash64, ident
from tests.unit.subscriber.logs import hexes, permissions


def content(image: Image, name: str, version: str, *points: str) -> Content:
    return image.shapes.content(permissions(name, version, *((p, "email") for p in points)), b"")


def put(image: Image, new: Content) -> int:
    row = image.row(new.ident)
    if row is None:
        return image.add(new.ident, 0, new.version, new)
    image.raise_version(row, new.version)
    image.put(row, new)
    return row


class Against(RuleBasedStateMachine):
    """An image whose customers come, change and share points."""

    def __init__(self) -> None:
        super().__init__()
        self.image = Image()
        self.expected: dict[str, tuple[Version, frozenset[str]]] = {}

    @rule(
        name=st.integers(0, 30), n=st.integers(1, 2**62), points=st.frozensets(st.integers(0, 8), max_size=4)
    )
    def change(self, name: int, n: int, points: frozenset[int]) -> None:
        names = [f"p{p}" for p in sorted(points)]
        put(self.image, content(self.image, f"c{name}", f"1.{n}", *names))
        self.expected[f"c{name}"] = Version(1, n), frozenset(names)

    @invariant()
    def the_same(self) -> None:
        assert len(self.image) == len(self.expected)
        assert find_many(self.image, [ident(hexes(name)) for name in self.expected]) == list(
            map(self.image.find, map(hexes, self.expected))
        )
        for name, (version, points) in self.expected.items():
            row = self.image.find(hexes(name))
            assert row is not None
            assert self.image.version(row) == version
            assert set(self.image.hashes(row)) == {hash64(hexes(p)) for p in points}
        for point in map("p{}".format, range(9)):
            held = {row for row, _ in self.image.holders(hash64(hexes(point)))}
            assert held == {self.image.find(hexes(n)) for n, (_, ps) in self.expected.items() if point in ps}


TestAgainst = Against.TestCase
TestAgainst.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)


def test_a_point_that_thousands_share() -> None:
    """Beyond what a run of cells holds, and through several new tables."""
    image, one = Image(), content(Image(), "x", "1.1", "shared", "own")
    for i in range(5000):
        put(
            image,
            one._replace(
                ident=ident(hexes(f"c{i}")), shape=_shape(image), hashes=(7, hash64(hexes(f"own{i}")))
            ),
        )
    assert {row for row, _ in image.holders(7)} == set(range(5000))
    assert all([row for row, _ in image.holders(hash64(hexes(f"own{i}")))] == [i] for i in range(0, 5000, 37))
    put(
        image,
        one._replace(ident=ident(hexes("c9")), version=Version(1, 2), shape=_shape(image), hashes=(8, 9)),
    )
    assert {row for row, _ in image.holders(7)} == set(range(5000)) - {9}


def _shape(image: Image) -> int:
    return content(image, "x", "1.1", "shared", "own").shape


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9), st.booleans()), max_size=300))
def test_index_finds_what_was_added_and_not_removed(steps: list[tuple[int, int, bool]]) -> None:
    index, expected = Index(0.9), set[tuple[int, int]]()
    for hash_, row, add in steps:
        if add and (hash_, row) not in expected:
            index.add(hash_, row)
            expected.add((hash_, row))
        elif not add and (hash_, row) in expected:
            index.remove(hash_, row)
            expected.discard((hash_, row))
    for hash_ in range(41):
        assert {row for h, row in expected if h == hash_} <= set(index.candidates(hash_))


def test_numbers_beyond_32_bits() -> None:
    image = Image()
    first, second = (put(image, content(image, n, f"1.{2**62}")) for n in "ab")
    image.see(first, Lane.BULK, 2**40)
    image.see(second, Lane.EXPRESS, 3)
    assert image.version(first) == Version(1, 2**62)
    assert [image.seen(first, lane) for lane in (Lane.EXPRESS, Lane.BULK)] == [NEVER, 2**40]
    assert [image.seen(second, lane) for lane in (Lane.EXPRESS, Lane.BULK)] == [3, NEVER]
    image.forget_offsets(Lane.BULK)
    assert image.seen(first, Lane.BULK) == NEVER
    assert image.seen(second, Lane.EXPRESS) == 3


def test_a_shape_is_kept_once() -> None:
    image = Image()
    for i in range(100):
        put(image, content(image, f"c{i}", "1.1", f"p{i}"))
    assert len(image.shapes) == 2


def test_many_are_found_as_each_is() -> None:
    image = Image()
    assert image.find_many(np.array([1], np.uint64), np.array([2], np.uint32)).tolist() == [-1]
    known = [(hi, lo) for hi in (0, 5, 2**64 - 1) for lo in range(50)]  # many whose first parts are the same
    for each in known:
        put(image, content(image, "x", "1.1", "p")._replace(ident=each))
    asked = [*reversed(known), (5, 50), (6, 1), known[0]]
    expected = [-1 if (row := image.row(each)) is None else row for each in asked]
    assert expected == [*reversed(range(150)), -1, -1, 0]
    assert find_many(image, asked) == expected


def find_many(image: Image, asked: list[tuple[int, int]]) -> list[int]:
    hi, lo = np.array([h for h, _ in asked], np.uint64), np.array([low for _, low in asked], np.uint32)
    found: list[int] = image.find_many(hi, lo).tolist()
    return found


HASHES = st.builds(  # few first buckets, few tags and few ways from one bucket to the next
    lambda upper, middle, tag: upper << 57 | middle << 30 | tag,
    *(st.integers(0, 3), st.integers(0, 3), st.integers(0, 4)),
)


@given(st.lists(st.tuples(st.lists(HASHES, max_size=100), st.booleans()), max_size=6), HASHES)
def test_index_finds_each_of_many(portions: list[tuple[list[int], bool]], other: int) -> None:
    """Added singly or many at once: the row of each is among its candidates, and the one that is found."""
    index, keys = Index(0.9), list[tuple[int, int]]()  # (hash, what tells it from others of this hash)
    for portion, singly in portions:
        rows = range(len(keys), len(keys) + len(portion))
        keys += zip(portion, rows, strict=True)
        if singly:
            for hash_, row in zip(portion, rows, strict=True):
                index.add(hash_, row)
        else:
            index.add_many(np.array(portion, np.uint64), np.array(rows, np.int64))
    assert all(row in index.candidates(hash_) for hash_, row in keys)
    asked = [*keys, (other, -1)]
    mine = np.array([nth for _, nth in asked])

    def is_it(places: Rows, rows: Many) -> Many:
        same: Many = mine[places] == rows
        return same

    found = index.find_many(np.array([h for h, _ in asked], np.uint64), is_it).tolist()
    assert found[:-1] == [row for _, row in keys]


def test_thousands_are_found() -> None:
    """Through several new tables, in portions and singly; whoever is unknown is not."""
    image, dice = Image(), np.random.default_rng(1)
    his, los = dice.integers(0, 2**64, 40_000, np.uint64), dice.integers(0, 2**32, 40_000, np.uint32)
    idents = list(zip(his.tolist(), los.tolist(), strict=True))
    one = content(image, "x", "1.1", "p")
    for each in idents[:20_000]:
        put(image, one._replace(ident=each))
    again = [(hi, lo ^ 1) for hi, lo in idents[:20_000:7]]
    assert find_many(image, idents + again) == [*range(20_000), *[-1] * (20_000 + len(again))]
    assert all(image.row(each) is None for each in again)
