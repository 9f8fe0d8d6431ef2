"""Records, beats and snapshots as the relay would write them, for tests of followers."""

import hashlib
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from kielto.events.base import Event
from kielto.events.control import BEAT, SNAPSHOT, AboutParty, Beat, SnapshotComplete, Taken, Void
from kielto.events.envelope import Encoded, encode
from kielto.events.records import Allow, AllowedPoint, Permissions
from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.events.words import Status
from kielto.subscriber.records.decode import Decoder
from kielto.subscriber.replica.follower import Follower

TOPICS = {Lane.EXPRESS: UUID(int=1), Lane.BULK: UUID(int=2)}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OWN = Allow(purpose="own_marketing")


def hexes(name: str) -> str:
    """An id or a hash: 64 hexadecimal digits, the same for the same name."""
    return hashlib.sha256(name.encode()).hexdigest()


def permissions(
    name: str, version: str, *points: tuple[str, str] | tuple[str, str, Allow], **fields: Any
) -> Permissions:
    """A live record; each point is (point, channel) or (point, channel, allow)."""
    listed = tuple(
        AllowedPoint(point=hexes(p[0]), channel=p[1], allow=(p[2] if len(p) > 2 else OWN,)) for p in points
    )
    return Permissions(version=version, subject=hexes(name), changed_at=NOW, points=listed, **fields)


def erased(name: str, version: str) -> Permissions:
    return Permissions(version=version, subject=hexes(name), status=Status.ERASED)


def beat(
    n: int,
    *,
    epoch: int = 1,
    term: int = 1,
    generation: int = 1,
    taken: tuple[Taken, ...] = (),
    about: AboutParty | None = None,
) -> Beat:
    return Beat(epoch=epoch, term=term, n=n, generation=generation, taken=taken, about=about, at=NOW)


def snapshot(
    begin_express: int = 0, begin_bulk: int = 0, *, epoch: int = 1, generation: int = 1
) -> SnapshotComplete:
    return SnapshotComplete(
        epoch=epoch,
        generation=generation,
        count=0,
        begin_restrictions=begin_express,
        begin_bulk=begin_bulk,
    )


def message(event: Event) -> Encoded:
    """As it stands on the topic."""
    match event:
        case Permissions():
            key = event.subject
        case Beat():
            key = BEAT
        case SnapshotComplete():
            key = SNAPSHOT
        case Void():
            key = event.key()
        case _:
            raise AssertionError(event)
    return encode(event, key=key, source="consents")


def version_of(follower: Follower, key: str) -> Version | None:
    row = follower.image.find(key)
    return None if row is None else follower.image.version(row)


class Script:
    """Feeds a follower; every record is committed and settled at once. Offsets count up by themselves."""

    def __init__(self, stale_seconds: float = 3.0, durable: bool = False) -> None:
        self.follower = Follower(stale_seconds, durable=durable)
        self.follower.verify_topics(TOPICS)
        self.decoder = Decoder(self.follower.image.shapes)
        self.next: dict[tuple[Lane, int], int] = {}

    def raw(self, lane: Lane, partition: int, key: bytes | None, value: bytes | None, headers: Any) -> int:
        offset = self.next.get((lane, partition), 0)
        self.next[lane, partition] = offset + 1
        self.follower.read(lane, [(partition, offset, self.decoder.read(key, value, headers))])
        self.follower.settle(self.follower.take())
        return offset

    def put(self, lane: Lane, event: Event, partition: int = 0) -> int:
        return self.raw(lane, partition, *message(event))

    def express(self, *events: Event, partition: int = 0) -> int:
        return [self.put(Lane.EXPRESS, event, partition) for event in events][-1]

    def bulk(self, *events: Event, partition: int = 0) -> int:
        return [self.put(Lane.BULK, event, partition) for event in events][-1]

    def spoiled(self, lane: Lane, event: Permissions, partition: int = 0) -> int:
        """The record with a value that no reader understands."""
        encoded = message(event)
        return self.raw(lane, partition, encoded.key, b"{", encoded.headers)

    def probe(self, at: float, partition: int = 0) -> None:
        self.follower.probe(at, {partition: self.next.get((Lane.EXPRESS, partition), 0)})

    def fresh(self, at: float, n: int, partitions: range = range(1), **which: Any) -> None:
        """A probe at this time, then beats n and n+1: the view is as fresh as the probe."""
        for partition in partitions:
            self.probe(at, partition)
            self.express(beat(n, **which), beat(n + 1, **which), partition=partition)

    def allowed(self, name: str) -> set[str] | None:
        """The channels that the store permits something on, whatever the gate says; None: no such customer."""
        follower, row = self.follower, self.follower.image.find(hexes(name))
        if row is None:
            return None
        if follower.image.unreadable(row) or follower.swept(row):
            return set()
        return {c for p in follower.image.shape(row).points for c, terms in p.items() if terms}
