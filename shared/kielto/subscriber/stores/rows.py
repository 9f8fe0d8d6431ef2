"""What stores that last have in common: the follower's state as text, and rows read back into memory."""

import contextlib
import json
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.subscriber.columnar.table import NEVER, Image
from kielto.subscriber.records.content import ident
from kielto.subscriber.records.decode import Decoder
from kielto.subscriber.replica.state import Flaw, FollowerState, Snapshot
from kielto.subscriber.stores.base import StoredRow


def positions_text(state: FollowerState) -> str:
    confirmed = None if state.confirmed is None else _places(state.confirmed)
    return json.dumps({"applied": _places(state.positions), "confirmed": confirmed})


def _places(positions: dict[tuple[Lane, int], int]) -> list[list[Any]]:
    return [[lane, partition, at] for (lane, partition), at in sorted(positions.items())]


def _read_places(told: list[list[Any]]) -> dict[tuple[Lane, int], int]:
    return {(Lane(lane), partition): at for lane, partition, at in told}


def state_text(state: FollowerState) -> str:
    """Everything but the positions, which change with every batch."""
    return json.dumps(
        {
            "topics": {lane: str(ident) for lane, ident in state.topics.items()},
            "former_topics": sorted(map(str, state.former_topics)),
            "snapshots": {str(p): list(s) for p, s in state.snapshots.items()},
            "floors": {str(p): list(f) for p, f in state.floors.items()},
            "exceptions": {key: _flaw(flaw) for key, flaw in state.exceptions.items()},
            "held_back": [[lane, partition, at] for (lane, partition), at in state.held_back.items()],
            "shut": [_flaw(flaw) for flaw in state.shut.values()],
            "voids": sorted([str(topic), partition, offset] for topic, partition, offset in state.voids),
        }
    )


def _flaw(flaw: Flaw) -> list[Any]:
    return [flaw.lane, flaw.partition, flaw.offset, flaw.version and str(flaw.version), flaw.reason]


def read_state(positions: str, rest: str) -> FollowerState:
    told, places = json.loads(rest), json.loads(positions)
    shut = [_read_flaw(f) for f in told["shut"]]
    return FollowerState(
        topics={Lane(lane): UUID(ident) for lane, ident in told["topics"].items()},
        former_topics=set(map(UUID, told["former_topics"])),
        positions=_read_places(places["applied"]),
        confirmed=None if places["confirmed"] is None else _read_places(places["confirmed"]),
        snapshots={int(p): Snapshot(*s) for p, s in told["snapshots"].items()},
        floors={int(p): (f[0], f[1]) for p, f in told["floors"].items()},
        exceptions={key: _read_flaw(f) for key, f in told["exceptions"].items()},
        held_back={(Lane(lane), partition): at for lane, partition, at in told["held_back"]},
        shut={(f.lane, f.partition, f.offset): f for f in shut},
        voids={(UUID(topic), partition, offset) for topic, partition, offset in told["voids"]},
    )


def _read_flaw(told: list[Any]) -> Flaw:
    lane, partition, offset, version, reason = told
    return Flaw(Lane(lane), partition, offset, Version.parse(version) if version else None, reason)


def stored_row(image: Image, key: str, value: bytes | None) -> StoredRow:
    """The row of a key as a store keeps it. `value` None: the record in the store has not changed."""
    row = image.find(key)
    assert row is not None
    version, unreadable = image.version(row), bool(image.unreadable(row))
    lanes = image.seen(row, Lane.EXPRESS), image.seen(row, Lane.BULK)
    return StoredRow(key, image.partition(row), version.epoch, version.n, unreadable, *lanes, value)


def load(image: Image, decoder: Decoder, rows: Iterable[StoredRow]) -> None:
    """Put stored rows into an image. A row whose record can no longer be read is denied until it is read again."""
    for stored in rows:
        version = Version(stored.epoch, stored.n)
        content = None
        if stored.value is not None:
            with contextlib.suppress(ValidationError):
                content = decoder.stored(stored.key, version, stored.value)
        row = image.add(ident(stored.key), stored.partition, version, content)
        if stored.unreadable:
            image.spoil(row)
        for lane, offset in ((Lane.EXPRESS, stored.express), (Lane.BULK, stored.bulk)):
            if offset != NEVER:
                image.see(row, lane, offset)
