"""The published vectors of a follower (`kielto/events/vectors/follower.json`), through decoder and follower."""

import json
from collections.abc import Iterable
from importlib import resources
from typing import Any
from uuid import UUID

import pytest

from kielto.events.topics import Lane
from kielto.subscriber.gate.permits import PermitRecord, RecordQuestion, permits
from kielto.subscriber.records.content import hash64
from kielto.subscriber.records.decode import Decoder
from kielto.subscriber.replica.follower import Follower

VECTORS = json.loads(resources.files("kielto.events").joinpath("vectors", "follower.json").read_text("utf-8"))
LANES = {"restrictions": Lane.EXPRESS, "permissions": Lane.BULK}
NAMES = {lane: name for name, lane in LANES.items()}


def ids(topics: dict[str, str]) -> dict[Lane, UUID]:
    return {LANES[name]: UUID(ident) for name, ident in topics.items()}


class VectorPlay:
    """One case. `problems` lists every expectation that does not hold."""

    def __init__(self) -> None:
        self.follower = Follower(VECTORS["stale_seconds"], durable=False)
        self.follower.verify_topics(ids(VECTORS["topics"]))
        self.decoder = Decoder(self.follower.image.shapes)
        self.problems: list[str] = []

    def step(self, step: dict[str, Any]) -> None:
        match step:
            case {"read": topic, "offset": offset, "key": key, "headers": headers, "value": value}:
                common = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "urn:kielto:consents"}
                encoded = [(name, text.encode()) for name, text in (common | headers).items()]
                raw = None if value is None else json.dumps(value).encode()
                item = self.decoder.read(key.encode(), raw, encoded)
                self.follower.read(LANES[topic], [(0, offset, item)])
                self.follower.settle(self.follower.take())
            case {"probe": at, "end": end}:
                self.follower.probe(at, {0: end})
            case {"topics": topics}:
                self.follower.verify_topics(ids(topics))
            case {"restart": True}:
                old = self.follower
                self.follower = Follower(old.stale_seconds, durable=False, state=old.state)
                self.follower.image = old.image
            case {"expect": what}:
                found, expected = self._found(what, step), step.get("is", step.get("are"))
                if found != expected:
                    self.problems.append(f"{step}: is {found}")
            case _:
                raise AssertionError(step)

    def _found(self, what: str, step: dict[str, Any]) -> Any:
        follower = self.follower
        match what:
            case "gate":
                return follower.gate(0, step["at"]) or "open"
            case "positions":
                return {name: follower.state.positions.get((LANES[name], 0), 0) for name in step["are"]}
            case "exceptions":
                flaws = [
                    *follower.state.exceptions.items(),
                    *((None, f) for f in follower.state.shut.values()),
                ]
                return [
                    {"key": key, "topic": NAMES[f.lane], "offset": f.offset,
                     "version": str(f.version) if f.version else None}
                    for key, f in flaws
                ]  # fmt: skip
            case "customer":
                return self._customer(step["key"], step.get("version"))
            case "address":
                hash_ = hash64(step["point"])
                return self._said({row for row, _ in follower.image.holders(hash_)}, frozenset((hash_,)))
        raise AssertionError(what)

    def _customer(self, key: str, version: str | None) -> str:
        follower, row = self.follower, self.follower.image.find(key)
        if row is None:
            return "unknown"
        if version and str(follower.image.version(row)) != version:
            return f"at version {follower.image.version(row)}"
        return self._said([row], None)

    def _said(self, rows: Iterable[int], address: frozenset[int] | None) -> str:
        follower, image = self.follower, self.follower.image
        denied = {row: image.unreadable(row) or follower.swept(row) for row in rows}
        held = [
            PermitRecord(image.shape(row), image.hashes(row), "denied" if no else None)
            for row, no in denied.items()
        ]
        answer = permits(held, RecordQuestion("email", ("own_marketing", None, None), address=address))
        return "permitted" if answer else answer.reason.value


def problems(case: dict[str, Any]) -> list[str]:
    play = VectorPlay()
    for step in case["steps"]:
        play.step(step)
    return play.problems


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["name"])
def test_follower(case: dict[str, Any]) -> None:
    assert problems(case) == []
