"""Whether a seed met what its scenario is about. Pure; reads the history as `verdict.py` does.

A verdict over faults that never came, or over gates that were shut all the while, would hold whatever the product does.
"""

from collections.abc import Callable, Iterable
from typing import Any

from tests.faults.schedule import POISONS, SESSION_SECONDS

Event = dict[str, Any]


def missed(number: int, events: Iterable[Event]) -> list[str]:
    """What the seed did not meet, in words."""
    events = list(events)
    found = []
    if not any(e["what"] == "ok" for e in events):
        found.append("no decision was acknowledged")
    if not any(e["what"] == "may" and e["allowed"] for e in events):
        found.append("no gate said yes, so none could have said so too late")
    met, words = _MUST[number]
    if not met(events):
        found.append(words)
    return found


def _reached(events: list[Event]) -> bool:
    return any(e["what"] == "ended" and e["reached"] for e in events)


def _accepted_without_kafka(events: list[Event]) -> bool:
    """Somebody's POST was sent and answered between the kill and the new start."""
    answered = {e["n"]: e["t"] for e in events if e["what"] == "ok"}
    sent = [(t, answered[n]) for n, t in _posts(events) if n in answered]
    return any(since < t and told < until for since, until in _away(events, "kafka") for t, told in sent)


def _sent_without_postgres(events: list[Event]) -> bool:
    """Nobody can be answered then; what was sent is sent again until somebody is."""
    posts = _posts(events)
    return any(since < t < until for since, until in _away(events, "postgres") for _, t in posts)


def _posts(events: list[Event]) -> list[tuple[int, float]]:
    return [(e["n"], e["t"]) for e in events if e["what"] == "invoke" and e["via"] == "http"]


def _away(events: list[Event], server: str) -> list[tuple[float, float]]:
    return [(e["since"], e["t"]) for e in events if e["what"] == "mended" and e["whom"] == server]


def _slept(events: list[Event]) -> bool:
    return any(
        e["what"] == "mended" and e["action"] == "pause" and e["t"] - e["since"] > SESSION_SECONDS
        for e in events
    )


def _joined(events: list[Event]) -> bool:
    return any(e["what"] == "joined" and e["reached"] for e in events)


def _raced(events: list[Event]) -> bool:
    """Two decisions about one person were under way at once."""
    ended = {e["n"]: e["t"] for e in events if e["what"] in ("ok", "fail", "unknown")}
    last: dict[int, float] = {}
    for event in events:
        if event["what"] != "invoke":
            continue
        before = last.get(event["customer"], 0.0)
        if event["t"] < before:
            return True
        last[event["customer"]] = max(before, ended.get(event["n"], float("inf")))
    return False


def _poisoned(events: list[Event]) -> bool:
    kinds = {e["more"]["kind"] for e in events if e["what"] == "fault" and e["action"] == "poison"}
    return kinds == set(POISONS)


def _on_other_days(events: list[Event]) -> bool:
    days = [e["more"]["days"] for e in events if e["what"] == "fault" and e["action"] == "redate"]
    return bool(days) and max(days) - min(days) > 1


def _swallowed(events: list[Event]) -> bool:
    return any(e["what"] == "door" and e["swallowed"] for e in events)


def _refused_to_write(events: list[Event]) -> bool:
    return any(e["what"] == "disk" and e["ended"] for e in events)


def _compacted(events: list[Event]) -> bool:
    return any(e["what"] == "compacted" and e["records"] for e in events)


_MUST: dict[int, tuple[Callable[[list[Event]], bool], str]] = {
    1: (_reached, "no process ended at its point"),
    2: (_sent_without_postgres, "no decision was sent while PostgreSQL was away"),
    3: (_accepted_without_kafka, "no decision was accepted while Kafka was away"),
    4: (_accepted_without_kafka, "no decision was accepted while Kafka was away"),
    5: (_swallowed, "no answer to an append was lost"),
    6: (_slept, "no process slept past its session"),
    7: (_joined, "no further consumer joined a group"),
    8: (_swallowed, "nothing was lost on the way"),
    9: (_raced, "no two decisions about one person were under way at once"),
    10: (_poisoned, "not every kind of poison was written"),
    11: (_refused_to_write, "no server met the full disk"),
    12: (_on_other_days, "no two processes were more than a day apart"),
    13: (_compacted, "nothing was compacted away"),
}
