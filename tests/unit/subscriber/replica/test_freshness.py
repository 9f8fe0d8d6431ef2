"""Freshness by probes: what a beat proves, and what it does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kielto.clock import clock
from kielto.subscriber.replica.freshness import PROBES_KEPT, BeatNumber, Freshness


def numbered(n: int, term: int = 1, epoch: int = 1) -> BeatNumber:
    return BeatNumber(epoch, term, n)


def test_nothing_is_known_at_first() -> None:
    assert Freshness().age(100.0) == float("inf")


def test_a_pair_is_as_fresh_as_the_latest_probe_without_the_first_of_them() -> None:
    view = Freshness()
    view.probe(10.0, 5)
    view.probe(11.0, 5)
    view.beat(numbered(7), 5)
    view.probe(12.0, 6)  # beat 7 was in the log by then: what was committed after it may stand behind beat 8
    view.beat(numbered(8), 9)
    assert view.as_of == 11.0
    assert view.age(12.5) == 1.5


def test_one_beat_alone_proves_nothing_however_late_it_is_read() -> None:
    view = Freshness()
    view.probe(10.0, 0)
    view.beat(numbered(1), 5)
    assert view.as_of is None


def test_no_probe_before_the_pair_no_freshness() -> None:
    view = Freshness()
    view.beat(numbered(1), 5)
    view.probe(10.0, 7)
    view.beat(numbered(2), 6)
    assert view.as_of is None


@pytest.mark.parametrize(
    "second", [numbered(9), numbered(7), numbered(8, term=2), numbered(8, epoch=2), numbered(6)]
)
def test_only_the_very_next_beat_of_the_same_term_makes_a_pair(second: BeatNumber) -> None:
    view = Freshness()
    view.probe(10.0, 5)
    view.beat(numbered(7), 5)
    view.beat(second, 6)
    assert view.as_of is None


def test_a_zombies_beat_changes_nothing() -> None:
    view = Freshness()
    view.probe(10.0, 5)
    view.beat(numbered(3, term=2), 5)
    view.beat(numbered(90, term=1), 6)
    view.beat(numbered(91, term=1), 7)
    assert view.as_of is None
    view.beat(numbered(4, term=2), 8)
    assert view.as_of == 10.0


def test_freshness_goes_on_with_each_beat() -> None:
    view = Freshness()
    for n in range(200):
        view.probe(float(n), n)
        view.beat(numbered(n), n)
    assert view.as_of == 198.0


def test_a_smaller_end_offset_from_a_lagging_replica_counts_as_the_larger() -> None:
    view = Freshness()
    view.probe(10.0, 8)
    view.probe(11.0, 2)  # beat 1 stands at 5: it was in the log at 10.0 already
    view.beat(numbered(1), 5)
    view.beat(numbered(2), 9)
    assert view.as_of is None


def test_many_probes_without_a_beat_stay_few() -> None:
    view = Freshness()
    for n in range(10 * PROBES_KEPT):
        view.probe(float(n), n)
    view.beat(numbered(1), 10 * PROBES_KEPT)
    view.beat(numbered(2), 10 * PROBES_KEPT + 1)
    assert view.as_of == 10 * PROBES_KEPT - 1


def test_the_clock_does_not_go_back() -> None:
    assert clock() <= clock()


class ModelledRelay:
    """What a beat promises: it is written after a look, and a look after the acknowledgement of the beat before."""

    def __init__(self) -> None:
        self.log: list[float | BeatNumber] = []
        self.committed: list[float] = []
        self.waiting: list[float] = []
        self.number = numbered(0)
        self.looked = False
        self.on_its_way: list[BeatNumber] = []

    def act(self, action: str, time: float) -> None:
        match action:
            case "commit":
                self.committed.append(time)
                self.waiting.append(time)
            case "look":
                self.log += self.waiting
                self.waiting, self.looked = [], True
            case "beat" if self.looked:
                self._count()
                self.log.append(self.number)
            case "unknown answer" if self.looked:  # it may still arrive: the next number is skipped
                self._count()
                self.on_its_way.append(self.number)
                self._count()
            case "arrives" if self.on_its_way:
                self.log.append(self.on_its_way.pop())
            case "new leader":
                self.number, self.looked = numbered(0, self.number.term + 1), False

    def _count(self) -> None:
        self.number, self.looked = self.number._replace(n=self.number.n + 1), False


ACTIONS = [
    "commit",
    "look",
    "beat",
    "unknown answer",
    "arrives",
    "new leader",
    "probe",
    "read",
    "read",
    "look",
    "beat",
]


def stale_truth(actions: list[str]) -> bool:
    """Whether a view ever called itself fresh as of a time before which something unread was committed."""
    relay, view, position = ModelledRelay(), Freshness(), 0
    for time, action in enumerate(actions):
        relay.act(action, time)
        if action == "probe":
            view.probe(time, len(relay.log))
        if action == "read" and position < len(relay.log):
            what = relay.log[position]
            if isinstance(what, BeatNumber):
                view.beat(what, position)
            position += 1
        unread = set(relay.committed) - set(relay.log[:position])
        if view.as_of is not None and any(at <= view.as_of for at in unread):
            return True
    return False


@given(st.lists(st.sampled_from(ACTIONS), max_size=120))
def test_never_fresher_than_the_truth(actions: list[str]) -> None:
    assert not stale_truth(actions)


LATE_ARRIVAL = ["look", "unknown answer", "look", "commit", "probe", "arrives", "beat", "read", "read"]
"""The first beat was looked for before, and arrives after, a decision that stands behind the second."""


def test_a_beat_that_arrives_late_makes_no_pair() -> None:
    assert not stale_truth(LATE_ARRIVAL)
