"""What each kind of record does, beyond the vectors: batches, durable stores, recreated topics."""

from uuid import UUID

import pytest

from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.subscriber.replica.follower import Follower, Shut
from kielto.subscriber.replica.state import Snapshot
from tests.unit.subscriber.logs import TOPICS, Script, beat, hexes, permissions, snapshot, version_of

MAIL = ("mail", "email")


def open_script() -> Script:
    script = Script()
    script.bulk(snapshot())
    script.fresh(10.0, 1)
    assert script.follower.gate(0, 10.0) is None
    return script


def test_a_beat_counts_only_when_the_store_has_what_stood_before_it() -> None:
    script = Script()
    script.bulk(snapshot())
    script.probe(10.0)
    follower = script.follower
    for offset, n in enumerate((1, 2)):
        follower.read(Lane.EXPRESS, [(0, offset, beat(n))])
    delta = follower.take()
    assert follower.gate(0, 10.0) is Shut.STARTING
    follower.settle(delta)
    assert follower.gate(0, 10.0) is None


def test_the_gate_shuts_by_itself() -> None:
    follower = open_script().follower
    assert follower.gate(0, 13.0) is None
    assert follower.gate(0, 13.1) is Shut.STALE


def test_each_partition_has_its_own_gate() -> None:
    follower = open_script().follower
    assert [follower.gate(p, 10.0) for p in (0, 1)] == [None, Shut.SNAPSHOT_INCOMPLETE]


def test_positions_never_go_back() -> None:
    script = Script()
    for offset in (5, 3, 4):
        script.follower.read(Lane.BULK, [(2, offset, snapshot())])
    assert script.follower.state.positions == {(Lane.BULK, 2): 6}


def test_a_durable_store_hears_of_every_changed_row_once_with_its_newest_value() -> None:
    follower = Follower(3.0, durable=True)
    follower.verify_topics(TOPICS)
    shapes = follower.image.shapes
    for offset, version in enumerate(("1.1", "1.3", "1.2", "1.3")):
        follower.read(
            Lane.BULK, [(0, offset, shapes.content(permissions("a", version, MAIL), version.encode()))]
        )
    delta = follower.take()
    assert delta.rows == {hexes("a"): b"1.3"}
    assert delta.news
    follower.read(Lane.BULK, [(0, 4, shapes.content(permissions("a", "1.3", MAIL), b"1.3"))])
    assert follower.take().rows == {hexes("a"): None}  # only where it was seen has changed
    follower.read(Lane.BULK, [(0, 5, shapes.content(permissions("a", "1.2", MAIL), b"1.2"))])
    assert not follower.take().news


def test_control_records_count_on_their_own_lane_only() -> None:
    script = Script()
    script.express(snapshot())
    script.probe(10.0)
    script.bulk(beat(1), beat(2))
    assert script.follower.gate(0, 10.0) is Shut.SNAPSHOT_INCOMPLETE
    script.bulk(snapshot())
    assert script.follower.gate(0, 10.0) is Shut.STARTING


@pytest.mark.parametrize("lane", list(Lane))
def test_a_recreated_topic_is_read_anew_and_needs_a_newer_snapshot(lane: Lane) -> None:
    script = open_script()
    script.bulk(permissions("a", "1.4", MAIL))
    follower = script.follower
    assert follower.verify_topics({**TOPICS, lane: UUID(int=9)})
    assert follower.state.positions.get((lane, 0)) is None
    assert follower.gate(0, 10.0) is Shut.SNAPSHOT_INCOMPLETE
    assert version_of(follower, hexes("a")) == Version(1, 4)
    script.next[lane, 0] = 0
    script.bulk(snapshot())  # the old backfill, seen again
    script.fresh(11.0, 5)
    assert follower.gate(0, 11.0) is Shut.SNAPSHOT_INCOMPLETE
    script.bulk(snapshot(generation=2))
    assert follower.gate(0, 11.0) is None


def test_both_topics_recreated_need_one_newer_snapshot_however_they_are_noticed() -> None:
    script = open_script()
    script.fresh(
        11.0, 7, generation=3
    )  # a backfill that this follower has not read is finished: it is lost too
    follower = script.follower
    follower.verify_topics({**TOPICS, Lane.EXPRESS: UUID(int=8)})
    follower.verify_topics({Lane.EXPRESS: UUID(int=8), Lane.BULK: UUID(int=9)})
    assert follower.state.floors[0] == (1, 3)
    script.next = {}
    script.bulk(snapshot(generation=4))
    script.fresh(12.0, 1, term=2, generation=4)
    assert follower.gate(0, 12.0) is None


def test_a_lagging_brokers_word_for_a_deleted_topic_changes_nothing() -> None:
    follower = open_script().follower
    new = {**TOPICS, Lane.BULK: UUID(int=9)}
    follower.verify_topics(new)
    assert not follower.verify_topics(TOPICS)
    assert follower.state.topics == new


def test_probes_of_the_old_topic_prove_nothing_about_the_new_one() -> None:
    script = open_script()
    script.probe(20.0)
    script.follower.verify_topics({**TOPICS, Lane.EXPRESS: UUID(int=9)})
    script.express(beat(3), beat(4))
    script.bulk(snapshot(generation=2))
    assert script.follower.gate(0, 20.0) is Shut.STARTING


def test_an_epoch_needs_its_own_snapshot() -> None:
    """After a restore or a promotion everything is republished, and gates stay shut meanwhile."""
    script = open_script()
    script.fresh(11.0, 1, epoch=2)
    assert script.follower.gate(0, 11.0) is Shut.SNAPSHOT_INCOMPLETE
    script.bulk(snapshot(epoch=2, generation=2))
    assert script.follower.gate(0, 11.0) is None


def test_an_older_snapshot_read_again_is_no_news() -> None:
    script = Script()
    script.bulk(snapshot(5, 6, generation=2), snapshot(7, 8, generation=1))
    assert script.follower.state.snapshots[0] == Snapshot(1, 2, 5, 6)


@pytest.mark.parametrize("order", ["cda", "acd", "abcd"])
def test_unreadable_records_too_many_to_list_hold_back_what_is_acknowledged(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kielto.subscriber.replica.follower.EXCEPTIONS", 2)
    script = Script()
    for name in "abcd":
        script.spoiled(Lane.BULK, permissions(name, "1.1", MAIL))
    state = script.follower.state
    assert set(state.exceptions) == {hexes("a"), hexes("b")}
    assert state.held_back == {(Lane.BULK, 0): 2}
    assert all(script.allowed(name) == set() for name in "abcd")
    for name in order:
        script.bulk(permissions(name, "1.1", MAIL))
    assert state.held_back == {}
    assert set(state.exceptions) == {hexes(name) for name in "abcd" if name not in order}


def test_an_offset_of_another_partition_does_not_outlive_the_rows_own() -> None:
    """A record that was written to a wrong partition has an offset that says nothing of a sweep of its own."""
    follower = Follower(3.0, durable=False)
    for partition, offset in ((1, 1000), (0, 5)):
        content = follower.image.shapes.content(permissions("a", "1.1", MAIL), b"1.1")
        follower.read(Lane.BULK, [(partition, offset, content)])
    assert follower.image.seen(0, Lane.BULK) == 5
