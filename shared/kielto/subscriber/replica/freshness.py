"""How old a follower's view of one partition can be: freshness by probes. Pure; docs/decisions/0011.

A probe is a question for the partition's end offset, noted with the local time at which it was *asked*.
Beat n, read directly after beat n-1 of the same epoch and term, makes the view as fresh as the latest probe
whose end offset was not yet beyond n-1: then n-1 was not in the log, and the relay looks for unpublished
marks for n only after n-1 is acknowledged. So all that was committed before that probe stands before n. A
beat read late, alone or twice proves nothing.
"""

from collections import deque
from typing import NamedTuple

PROBES_KEPT = 64


class BeatNumber(NamedTuple):
    """Ordered: a new leader's term and a restored database's epoch come after everything older."""

    epoch: int
    term: int
    n: int

    def follows(self, other: "BeatNumber") -> bool:
        return self[:2] == other[:2] and self.n == other.n + 1


class Freshness:
    """Of one partition of a restrictions topic. All times are `clock()` seconds."""

    __slots__ = ("_last", "_offset", "_probes", "as_of")

    def __init__(self) -> None:
        self._last: BeatNumber | None = None
        self._offset = -1
        self._probes: deque[tuple[float, int]] = deque(
            maxlen=PROBES_KEPT
        )  # forgetting one only loses freshness
        self.as_of: float | None = None
        """Everything committed before this time has been read; None: nothing is known yet."""

    def probe(self, asked_at: float, end: int) -> None:
        """The broker's answer to a question asked at `asked_at`: the next offset to be written is `end`."""
        if self._probes:
            end = max(
                end, self._probes[-1][1]
            )  # a log does not shrink: a smaller answer came from a lagging replica
            if self._probes[-1][1] == end:
                asked_at = max(asked_at, self._probes.pop()[0])
        self._probes.append((asked_at, end))

    def beat(self, number: BeatNumber, offset: int) -> None:
        """Beat `number` was read at `offset`, after everything below it was applied."""
        if self._last is not None and number <= self._last:
            return  # a zombie's, or read again
        if self._last is not None and number.follows(self._last):
            self._grant()
        self._last, self._offset = number, offset

    def _grant(self) -> None:
        while self._probes and self._probes[0][1] <= self._offset:
            asked_at, end = self._probes.popleft()
            self.as_of = asked_at if self.as_of is None else max(self.as_of, asked_at)
            if not self._probes or self._probes[0][1] > self._offset:
                self._probes.appendleft(
                    (asked_at, end)
                )  # still the best one for the next pair, if no other comes
                return

    def age(self, now: float) -> float:
        """Seconds; infinite when nothing is known."""
        return float("inf") if self.as_of is None else now - self.as_of
