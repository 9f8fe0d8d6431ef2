"""Whether a seed met what its scenario is about. Pure; reads the history as `verdict.py` does.

A verdict over faults that never came, or over gates that were shut all the while, would hold whatever the product does.
"""

from collections.abc import Callable, Iterable
from typing import Any

Event = dict[str, Any]


def missed(number: int, events: Iterable[Event]) -> list[str]:
    """What the seed did not meet, in words."""
    events = list(events)
    found = []
    if not any(e["what"] == "ok" for e in events):
        found.append("no decision was acknowledged")
    if not any(e["what"] == "may" and e["allowed"] for e in events):
        found.append("no gate said yes, so none could have said so too late")
    if number in _MUST:
        met, words = _MUST[number]
        if not met(events):
            found.append(words)
    return found


def _reached(events: list[Event]) -> bool:
    return any(e["what"] == "ended" and e["reached"] for e in events)


def _accepted_without_kafka(events: list[Event]) -> bool:
    """Somebody's POST was sent and answered between the kill and the new start."""
    down = [(e["since"], e["t"]) for e in events if e["what"] == "mended" and e["whom"] == "kafka"]
    asked = {e["n"]: e["t"] for e in events if e["what"] == "invoke" and e["via"] == "http"}
    answered = [(asked[e["n"]], e["t"]) for e in events if e["what"] == "ok" and e["n"] in asked]
    return any(since < sent and told < until for since, until in down for sent, told in answered)


def _swallowed(events: list[Event]) -> bool:
    return any(e["what"] == "door" and e["swallowed"] for e in events)


def _refused_to_write(events: list[Event]) -> bool:
    return any(e["what"] == "disk" and e["ended"] for e in events)


def _compacted(events: list[Event]) -> bool:
    return any(e["what"] == "compacted" and e["records"] for e in events)


_MUST: dict[int, tuple[Callable[[list[Event]], bool], str]] = {
    1: (_reached, "no process ended at its point"),
    4: (_accepted_without_kafka, "no decision was accepted while Kafka was away"),
    5: (_swallowed, "no answer to an append was lost"),
    11: (_refused_to_write, "no server met the full disk"),
    13: (_compacted, "nothing was compacted away"),
}
