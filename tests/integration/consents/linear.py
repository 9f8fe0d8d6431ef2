"""Is a history linearizable? By search, after Wing and Gong (1993) with the memory of Lowe (2017); for one object.

Linearizability is local (Herlihy and Wing 1990): a history is linearizable if that of each object by itself is.

The object is a set of what is in force. An operation adds to it or takes from it, or sees whether it is empty.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Op(NamedTuple):
    """Took effect at one moment between `begin` and `end`, if the history is linearizable. On one clock."""

    begin: float
    end: float
    adds: str | None = None
    takes: str | None = None
    saw_empty: bool | None = None


def linearizable(ops: Iterable[Op]) -> bool:
    """Whether some order of the operations, in which none comes before one that had ended when it began, explains all
    that was seen."""
    history = sorted(ops, key=lambda op: (op.begin, op.end))
    everything = (1 << len(history)) - 1
    states: list[tuple[int, frozenset[str]]] = [_seen(history, 0, frozenset())]
    known = {states[0][0]}
    while states:
        done, in_force = states.pop()
        if done == everything:
            return True
        for index in _next(history, done):
            op = history[index]
            if op.saw_empty is not None:
                continue  # it could not have seen what it saw here: `_seen` took all that could
            after = in_force | {op.adds} if op.adds else in_force - {op.takes or ""}
            state = _seen(history, done | 1 << index, after)
            if state[0] not in known:  # what was done decides what is in force
                known.add(state[0])
                states.append(state)
    return False


def _seen(history: Sequence[Op], done: int, in_force: frozenset[str]) -> tuple[int, frozenset[str]]:
    """With every look that is possible now and fits: it changes nothing, so it need not be put off."""
    while fits := [i for i in _next(history, done) if history[i].saw_empty == (not in_force)]:
        for index in fits:
            done |= 1 << index
    return done, in_force


def _next(history: Sequence[Op], done: int) -> list[int]:
    """Operations that may be next: not after the end of one that is still to be done."""
    found: list[int] = []
    first_end = float("inf")
    index = (~done & (done + 1)).bit_length() - 1  # the first that is not done
    while index < len(history) and history[index].begin <= first_end:
        if not done >> index & 1:
            found.append(index)
            first_end = min(first_end, history[index].end)
        index += 1
    return [i for i in found if history[i].begin <= first_end]
