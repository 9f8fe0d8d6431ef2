"""State and rows as stores keep them: what comes back is what went in."""

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.subscriber.records.decode import Decoder
from kielto.subscriber.replica.follower import Follower
from kielto.subscriber.replica.state import Delta, Flaw, FollowerState, Snapshot
from kielto.subscriber.stores import rows
from kielto.subscriber.stores.base import StoredRow
from tests.unit.subscriber.logs import TOPICS, hexes, message, permissions, version_of
from tests.unit.subscriber.replica.test_follower_random import RandomRun, Step, steps

small = st.integers(0, 5)
lanes = st.sampled_from(list(Lane))
versions = st.none() | st.builds(Version, small, small)
flaws = st.builds(Flaw, lanes, small, small, versions, st.text("abc: ", max_size=5))
ids = st.integers(0, 9).map(lambda n: UUID(int=n))
states = st.builds(
    FollowerState,
    topics=st.dictionaries(lanes, ids),
    former_topics=st.sets(ids, max_size=3),
    positions=st.dictionaries(st.tuples(lanes, small), small),
    snapshots=st.dictionaries(small, st.builds(Snapshot, small, small, small, small)),
    floors=st.dictionaries(small, st.tuples(small, small)),
    exceptions=st.dictionaries(st.sampled_from([hexes("a"), hexes("b")]), flaws),
    held_back=st.dictionaries(st.tuples(lanes, small), small),
    shut=st.lists(flaws, max_size=3).map(lambda fs: {(f.lane, f.partition, f.offset): f for f in fs}),
    voids=st.sets(st.tuples(ids, small, small), max_size=3),
)


@given(states)
def test_a_state_comes_back(state: FollowerState) -> None:
    assert rows.read_state(rows.positions_text(state), rows.state_text(state)) == state


class StoredTable:
    """A store's table, in a dictionary."""

    def __init__(self) -> None:
        self.rows: dict[str, StoredRow] = {}

    def commit(self, follower: Follower, delta: Delta) -> None:
        for lane in delta.forget_offsets:
            for key, row in self.rows.items():
                self.rows[key] = row._replace(express=-1) if lane is Lane.EXPRESS else row._replace(bulk=-1)
        for key, value in delta.rows.items():
            row = rows.stored_row(follower.image, key, value)
            self.rows[key] = row._replace(value=row.value or self.rows.get(key, row).value)


def seen(follower: Follower) -> dict[str, Any]:
    found = {}
    for name in "abc":
        if (row := follower.image.find(hexes(name))) is not None:
            i = follower.image
            lanes = [i.seen(row, lane) for lane in Lane]
            listed = i.hashes(row), i.shape(row).points, i.until.get(row)
            found[name] = i.version(row), bool(i.unreadable(row)), lanes, listed
    return found


@given(st.lists(steps, max_size=40))
def test_rows_come_back_after_any_log(log: list[Step]) -> None:
    run, table = RandomRun(), StoredTable()
    run.script.follower = follower = Follower(3.0, durable=True)
    follower.verify_topics(TOPICS)
    run.script.decoder = Decoder(follower.image.shapes)
    take = follower.take

    def committed() -> Delta:
        delta = take()
        table.commit(follower, delta)
        return delta

    follower.take = committed  # type: ignore[method-assign]
    for step in log:
        run.step(step)
    follower.take()
    again = Follower(3.0, durable=True)
    rows.load(again.image, Decoder(again.image.shapes), table.rows.values())
    assert seen(again) == seen(follower)


def test_a_record_that_can_no_longer_be_read_is_denied() -> None:
    follower = Follower(3.0, durable=True)
    row = StoredRow(hexes("a"), 2, 1, 7, False, 4, 5, b'{"from": "a later version"}')
    rows.load(follower.image, Decoder(follower.image.shapes), [row])
    assert follower.image.unreadable(0)
    assert version_of(follower, hexes("a")) == Version(1, 7)


def test_an_unreadable_record_keeps_the_version_of_its_header() -> None:
    follower = Follower(3.0, durable=True)
    value = message(permissions("a", "1.2", ("m", "email"))).value
    row = StoredRow(hexes("a"), 2, 1, 7, True, -1, 5, value)
    rows.load(follower.image, Decoder(follower.image.shapes), [row])
    assert version_of(follower, hexes("a")) == Version(1, 7)
    assert follower.image.unreadable(0)
    assert follower.image.hashes(0)
