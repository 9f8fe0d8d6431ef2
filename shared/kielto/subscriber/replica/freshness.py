"""How old the view of one partition may be (docs/decisions/0011-freshness-by-probes.md). Pure.

A probe asks the broker for the end offset of the partition, and is kept with the local time at which it was *sent*.
When beat n is read directly after beat n-1 of the same epoch and term, the view is as fresh as the latest probe whose
end offset was not above the offset of n-1. At that probe n-1 was not in the log yet, and the relay fetches pending
records for n only after n-1 is acknowledged. So everything that was committed before that probe stands before n. A beat
that is read late, alone or twice proves nothing.
"""

from collections import deque
from typing import NamedTuple

PROBES_KEPT = 64


class BeatNumber(NamedTuple):
    """Ordered by epoch, term and n: a new leader has a higher term, a restored database a higher epoch."""

    epoch: int
    term: int
    n: int

    def follows(self, other: "BeatNumber") -> bool:
        return self[:2] == other[:2] and self.n == other.n + 1


class Freshness:
    """Freshness of one partition of a restrictions topic. Times are in seconds of `clock`."""

    __slots__ = ("_last", "_offset", "_probes", "as_of")

    def __init__(self) -> None:
        self._last: BeatNumber | None = None
        self._offset = -1
        # A forgotten probe only costs freshness.
        self._probes: deque[tuple[float, int]] = deque(maxlen=PROBES_KEPT)
        self.as_of: float | None = None
        """Everything that was committed before this time has been read. None: not known yet."""

    def probe(self, asked_at: float, end: int) -> None:
        """Note that a probe sent at `asked_at` gave `end`, the next offset to be written."""
        if self._probes:
            # A log does not shrink: a smaller answer came from a lagging replica.
            end = max(end, self._probes[-1][1])
            if self._probes[-1][1] == end:
                asked_at = max(asked_at, self._probes.pop()[0])
        self._probes.append((asked_at, end))

    def beat(self, number: BeatNumber, offset: int) -> None:
        """Note beat `number` at `offset`, after everything below it was applied."""
        if self._last is not None and number <= self._last:
            return  # of a former leader, or read again
        if self._last is not None and number.follows(self._last):
            self._grant()
        self._last, self._offset = number, offset

    def _grant(self) -> None:
        while self._probes and self._probes[0][1] <= self._offset:
            asked_at, end = self._probes.popleft()
            self.as_of = asked_at if self.as_of is None else max(self.as_of, asked_at)
            if not self._probes or self._probes[0][1] > self._offset:
                # It is still the best one for the next pair, if no other comes.
                self._probes.appendleft((asked_at, end))
                return

    def age(self, now: float) -> float:
        """The age of the view in seconds; infinite when nothing is known."""
        return float("inf") if self.as_of is None else now - self.as_of
