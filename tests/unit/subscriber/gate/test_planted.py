"""The tests of this folder find the mistakes they are there for: each is planted, and must be seen."""

import random
from typing import Any

import pytest

from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.subscriber.columnar import merge
from kielto.subscriber.replica.follower import Follower, Shut
from kielto.subscriber.replica.freshness import BeatNumber, Freshness
from kielto.subscriber.stores.rows import stored_row
from kielto.subscriber.sync.reading import Following
from tests.e2e import planted
from tests.unit.subscriber.gate.test_vectors import VECTORS, problems
from tests.unit.subscriber.logs import Script, message, permissions
from tests.unit.subscriber.replica import test_follower_random as logs
from tests.unit.subscriber.replica.test_freshness import ACTIONS, LATE_ARRIVAL, stale_truth


def failing_vectors() -> set[str]:
    return {case["name"] for case in VECTORS["cases"] if problems(case)}


def random_logs_differ(count: int = 60) -> bool:
    dice = random.Random(7)
    for _ in range(count):
        log: list[Any] = [
            ("record", dice.choice(list(Lane)), dice.choice("abc"), Version(1, dice.randint(1, 5)))
            for _ in range(20)
        ]
        if logs.problems(log):
            return True
    return False


def fresh_too_soon(count: int = 500) -> bool:
    dice = random.Random(7)
    return any(stale_truth(dice.choices(ACTIONS, k=120)) for _ in range(count))


def test_nothing_is_found_where_nothing_is_planted() -> None:
    assert not failing_vectors()
    assert not random_logs_differ()
    assert not fresh_too_soon()


def test_no_version_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Follower, "_record", planted.keep_the_last)
    assert "the higher version wins, whichever lane it came by" in failing_vectors()
    assert random_logs_differ()


@pytest.mark.parametrize(("versions", "kept"), [(("1.1", "1.2"), "1.2"), (("1.2", "1.1"), "1.1")])
def test_the_store_without_a_guard_is_wrong_only_where_something_came_late(
    monkeypatch: pytest.MonkeyPatch, versions: tuple[str, str], kept: str
) -> None:
    """As it runs in `tests/e2e/test_planted_bugs.py`: nothing else may give it away there."""
    monkeypatch.setattr(Follower, "_record", Follower._record)  # all are put back in the end
    monkeypatch.setattr(merge, "_split_held", merge._split_held)
    monkeypatch.setattr(Following, "_read", Following._read)
    planted.no_version_guard()
    script = Script(durable=True)
    for lane, version in zip((Lane.EXPRESS, Lane.BULK), versions, strict=True):
        follower = script.follower
        item = script.decoder.read(*message(permissions("aino", version, ("mail", "email"))))
        follower.read(lane, [(0, 0, item)])
        (rows,) = follower.take().rows.items()
        row = stored_row(follower.image, *rows)
        assert (f"{row.epoch}.{row.n}", row.value is not None) == (version, True)
    assert version == kept


def test_gate_open_during_a_half_done_backfill(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Follower.gate

    def careless(self: Follower, partition: int, now: float) -> Shut | None:
        shut = gate(self, partition, now)
        return None if shut is Shut.SNAPSHOT_INCOMPLETE else shut

    monkeypatch.setattr(Follower, "gate", careless)
    assert "shut until the backfill is whole" in failing_vectors()


def test_freshness_by_one_beat_read_late(monkeypatch: pytest.MonkeyPatch) -> None:
    probe, beat = Freshness.probe, Freshness.beat
    latest: dict[int, float] = {}

    def note(self: Freshness, asked_at: float, end: int) -> None:
        latest[id(self)] = asked_at
        probe(self, asked_at, end)

    def careless(self: Freshness, number: BeatNumber, offset: int) -> None:
        beat(self, number, offset)
        self.as_of = latest.get(id(self))

    monkeypatch.setattr(Freshness, "probe", note)
    monkeypatch.setattr(Freshness, "beat", careless)
    assert "one beat alone proves nothing" in failing_vectors()
    assert fresh_too_soon()


def test_a_skipped_number_taken_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BeatNumber, "follows", lambda self, other: self > other)
    assert "a beat after a number that was skipped proves nothing" in failing_vectors()
    assert stale_truth(LATE_ARRIVAL)


def test_poison_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Follower, "_unreadable", lambda *_: None)
    assert "a record that cannot be read denies at the version in its header" in failing_vectors()
    assert "an unreadable key shuts its partition" in failing_vectors()


def test_nothing_swept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Follower, "swept", lambda *_: False)
    assert "swept, whichever lane is read last" in failing_vectors()
