"""Random logs through the follower, against a reference that keeps everything it read and looks it up anew."""

from dataclasses import dataclass, field
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from kielto.events.control import Void
from kielto.events.topics import Lane
from kielto.events.versions import Version
from tests.unit.subscriber.logs import (
    TOPICS,
    Script,
    beat,
    erased,
    hexes,
    message,
    permissions,
    snapshot,
    version_of,
)

CUSTOMERS = ("a", "b", "c")
CHANNELS = ("email", "sms")


def channels_of(name: str, version: Version) -> frozenset[str]:
    """A version has one content, whichever lane it travels on and however often."""
    mask = ord(name) + 5 * version.n + version.epoch
    return frozenset(c for i, c in enumerate(CHANNELS) if mask >> i & 1)


@dataclass
class Reading:
    lane: Lane
    offset: int
    version: Version
    readable: bool


@dataclass
class Reference:
    """Written for plainness: every question goes through all that was ever read."""

    readings: dict[str, list[Reading]] = field(default_factory=dict)
    forgotten: dict[Lane, int] = field(default_factory=dict)
    """How many readings of a lane came from topics that are gone, by lane."""
    count: int = 0
    snapshots: list[tuple[int, int, int, int]] = field(default_factory=list)
    bad_keys: set[tuple[Lane, UUID, int]] = field(default_factory=set)
    voids: set[tuple[UUID, int]] = field(default_factory=set)
    order: dict[int, int] = field(default_factory=dict)

    def read(self, name: str, reading: Reading) -> None:
        self.readings.setdefault(name, []).append(reading)
        self.order[id(reading)] = self.count
        self.count += 1

    def permitted(self, name: str) -> frozenset[str] | None:
        if name not in self.readings:
            return None
        newest = max(r.version for r in self.readings[name])
        saying = [r for r in self.readings[name] if r.version == newest]
        if not any(r.readable for r in saying):
            return frozenset()
        if self.snapshots:
            *_, begin_express, begin_bulk = max(self.snapshots)
            begin = {Lane.EXPRESS: begin_express, Lane.BULK: begin_bulk}
            lately = [
                r
                for r in saying
                if r.offset >= begin[r.lane] and self.order[id(r)] >= self.forgotten.get(r.lane, 0)
            ]
            if not lately:
                return frozenset()
        return channels_of(name, newest)

    def shut(self, topics: dict[Lane, UUID]) -> bool:
        return any(
            topics[lane] == topic and (topic, offset) not in self.voids
            for lane, topic, offset in self.bad_keys
        )


versions = st.builds(Version, st.integers(1, 2), st.integers(1, 5))
lanes = st.sampled_from(list(Lane))
records = st.tuples(st.just("record"), lanes, st.sampled_from(CUSTOMERS), versions)
steps = st.one_of(
    records,
    records,
    st.tuples(st.just("spoiled"), lanes, st.sampled_from(CUSTOMERS), versions),
    st.tuples(st.just("again"), lanes, st.just(""), st.integers(0, 20)),
    st.tuples(st.just("tombstone"), lanes, st.sampled_from(CUSTOMERS), st.none()),
    st.tuples(st.just("snapshot"), lanes, st.just(""), st.tuples(st.integers(0, 4), st.integers(0, 4))),
    st.tuples(st.just("bad key"), lanes, st.just(""), st.none()),
    st.tuples(st.just("void"), lanes, st.just(""), st.integers(0, 20)),
    st.tuples(st.just("recreated"), lanes, st.just(""), st.none()),
    st.tuples(st.just("beat"), lanes, st.just(""), st.integers(0, 3)),
)
Step = tuple[str, Lane, str, object]


class RandomRun:
    """One random log, read as it is written; `problems` lists where the follower and the reference differ."""

    def __init__(self) -> None:
        self.script, self.reference = Script(), Reference()
        self.topics = dict(TOPICS)
        self.sent: list[tuple[Lane, str, Version, bool]] = []
        self.generation, self.n = 0, 0
        self.problems: list[str] = []

    def step(self, step: Step) -> None:
        what, lane, name, more = step
        getattr(self, what.replace(" ", "_"))(lane, name, more)
        self.compare()

    def record(self, lane: Lane, name: str, version: Version, readable: bool = True) -> None:
        event = permissions(name, str(version), *((name + c, c) for c in channels_of(name, version)))
        if not channels_of(name, version) and version.n % 2:
            event = erased(name, str(version))
        put = self.script.put if readable else self.script.spoiled
        offset = put(lane, event)
        self.sent.append((lane, name, version, readable))
        self.reference.read(name, Reading(lane, offset, version, readable))

    def spoiled(self, lane: Lane, name: str, version: Version) -> None:
        self.record(lane, name, version, readable=False)

    def again(self, lane: Lane, _: str, which: int) -> None:
        """Published once more, on whichever lane."""
        if self.sent:
            self.record(lane, *self.sent[which % len(self.sent)][1:])

    def tombstone(self, lane: Lane, name: str, _: None) -> None:
        self.script.raw(lane, 0, hexes(name).encode(), None, message(permissions(name, "1.1")).headers)

    def snapshot(self, _lane: Lane, _: str, back: tuple[int, int]) -> None:
        self.generation += 1
        ends = [self.script.next.get((lane, 0), 0) for lane in (Lane.EXPRESS, Lane.BULK)]
        begin = [max(0, end - b) for end, b in zip(ends, back, strict=True)]
        self.script.bulk(snapshot(*begin, generation=self.generation))
        self.reference.snapshots.append((1, self.generation, begin[0], begin[1]))

    def bad_key(self, lane: Lane, _: str, __: None) -> None:
        offset = self.script.raw(lane, 0, b"nobody's", b"{}", [])
        self.reference.bad_keys.add((lane, self.topics[lane], offset))

    def void(self, lane: Lane, _: str, which: int) -> None:
        self.script.express(Void(topic_id=self.topics[lane], partition=0, offset=which))
        self.reference.voids.add((self.topics[lane], which))

    def recreated(self, lane: Lane, _: str, __: None) -> None:
        self.topics[lane] = UUID(int=self.topics[lane].int + 1000)
        self.script.follower.verify_topics(self.topics)
        self.script.next[lane, 0] = 0
        self.reference.forgotten[lane] = self.reference.count
        self.reference.snapshots = []
        self.generation += 1  # whoever recreates a topic starts a new backfill

    def beat(self, _lane: Lane, _: str, skip: int) -> None:
        self.n += 1 + skip
        self.script.express(beat(self.n, generation=self.generation))

    def compare(self) -> None:
        for name in CUSTOMERS:
            got, expected = self.script.allowed(name), self.reference.permitted(name)
            if got != expected:
                self.problems.append(f"{name}: permits {got}, must permit {expected}")
            held = version_of(self.script.follower, hexes(name))
            read = self.reference.readings.get(name, [])
            if (
                held
                and got
                and any(r.version >= held and not got <= channels_of(name, r.version) for r in read)
            ):
                self.problems.append(f"{name}: permits {got}, which a version that it has read denies")
        image = self.script.follower.image
        if image.count_unreadable != sum(map(image.unreadable, range(len(image)))):
            self.problems.append("unreadable records are miscounted")
        shut = self.script.follower.gate(0, 0.0) == "partition-shut"
        if shut != self.reference.shut(self.topics):
            self.problems.append(f"the partition is shut: {shut}")


def problems(log: list[Step]) -> list[str]:
    run = RandomRun()
    for step in log:
        run.step(step)
    return run.problems


@settings(max_examples=400)
@given(st.lists(steps, max_size=60))
def test_the_follower_holds_what_a_naive_reference_holds(log: list[Step]) -> None:
    assert problems(log) == []
