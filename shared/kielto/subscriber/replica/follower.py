"""The state machine of a subscriber: what each record of the two lanes changes, and when the gate is open.

It is pure: it has no Kafka, and times are given to it. docs/decisions/0001-contract.md has every rule, and what goes
wrong without it. Use: `read` the records of a batch, `take` the changes, commit them to the store, then `settle`: only
then a beat counts.
"""

from collections.abc import Sequence
from enum import StrEnum
from uuid import UUID

from kielto.events.control import Beat, Reconcile, SnapshotComplete, Void
from kielto.events.envelope import Unreadable
from kielto.events.topics import PARTITIONS, Lane
from kielto.subscriber.columnar.merge import merge
from kielto.subscriber.columnar.record_batch import RecordBlock
from kielto.subscriber.columnar.table import Image
from kielto.subscriber.records.content import Content, ident
from kielto.subscriber.records.decode import Item
from kielto.subscriber.replica.freshness import BeatNumber, Freshness
from kielto.subscriber.replica.state import EXCEPTIONS, Delta, Flaw, FollowerState, Snapshot

Batch = Sequence[tuple[int, int, Item]]
"""(partition, offset, record) of one lane, in order within each partition."""


class Shut(StrEnum):
    """Why a partition's gate is shut."""

    STARTING = "starting"
    STALE = "stale"
    SNAPSHOT_INCOMPLETE = "snapshot-incomplete"
    PARTITION_SHUT = "partition-shut"


class Follower:
    """`stale_seconds`: the gate shuts when the view is older. `durable`: whether `take` lists changed rows for a store
    that keeps rows.
    """

    def __init__(self, stale_seconds: float, *, durable: bool, state: FollowerState | None = None) -> None:
        self.stale_seconds = stale_seconds
        self.image = Image()
        self.state = FollowerState() if state is None else state
        self.latest_beat = 0.0
        """The time in the newest beat, in seconds since 1970: it is at least this late."""
        self.told: Beat | None = None
        """The newest beat that has `about`."""
        self._durable = durable
        self._delta = Delta()
        self._freshness = [Freshness() for _ in range(PARTITIONS)]
        self._wanted: dict[int, tuple[int, int]] = {}  # the newest (epoch, generation) that a beat named

    # -- topics

    def verify_topics(self, ids: dict[Lane, UUID]) -> bool:
        """Note the topic ids that the broker gives now. True: a topic is new and must be read from its beginning."""
        changed = [lane for lane, ident in ids.items() if self._is_new(lane, ident)]
        for lane in changed:
            old = self.state.topics.get(lane)
            self.state.topics[lane] = ids[lane]
            if old is not None:
                self.state.former_topics.add(old)
                self._restart(lane)
        return bool(changed)

    def _is_new(self, lane: Lane, ident: UUID) -> bool:
        return self.state.topics.get(lane) != ident and ident not in self.state.former_topics

    def _restart(self, lane: Lane) -> None:
        """Keep the versions, and forget the freshness and completeness that the old topic proved."""
        state = self.state
        for partition in range(PARTITIONS):
            state.positions.pop((lane, partition), None)
            if state.confirmed is not None:
                state.confirmed.pop((lane, partition), None)
            seen = [state.floors.get(partition, (0, 0)), self._wanted.pop(partition, (0, 0))]
            if snapshot := state.snapshots.pop(partition, None):
                seen.append(snapshot.number)
            state.floors[partition] = max(seen)
        state.shut = {at: flaw for at, flaw in state.shut.items() if at[0] is not lane}
        self._freshness = [Freshness() for _ in range(PARTITIONS)]
        self.image.forget_offsets(lane)
        self._delta.forget_offsets.append(lane)
        self._delta.news = True

    # -- records

    def read(self, lane: Lane, batch: Batch) -> None:
        """Apply records of a lane. The version guard is the same on both lanes, for new and repeated records."""
        ends: dict[int, int] = {}
        for partition, offset, item in batch:
            if type(item) is Content:
                self._record(lane, partition, offset, item)
            else:
                self._other(lane, partition, offset, item)
            if offset >= ends.get(partition, 0):
                ends[partition] = offset + 1
        for partition, end in ends.items():
            self._read_to(lane, partition, end)

    def _read_to(self, lane: Lane, partition: int, end: int) -> None:
        place = (lane, partition)
        self.state.positions[place] = max(self.state.positions.get(place, 0), end)

    def _record(self, lane: Lane, partition: int, offset: int, content: Content) -> None:
        image, version = self.image, content.version
        row = image.row(content.ident)
        changed = True
        if row is None:
            row = image.add(content.ident, partition, version, content)
        else:
            held = image.version(row)
            if version < held:
                return
            if version > held:
                image.raise_version(row, version)
                image.put(row, content)
            elif image.unreadable(row):
                image.put(row, content)
            else:
                changed = False
        image.see(row, lane, offset)
        self._delta.news = True
        if self._durable:
            self._touch(content.key, content.value if changed else None)
        self.state.exceptions.pop(content.key, None)

    def read_block(self, lane: Lane, block: RecordBlock) -> None:
        """Do what `read` does, for readable records in any order of offsets: the rules for a record do not depend on
        which one comes first.
        """
        merged = merge(self.image, lane, block)
        for keys, values in merged.changed:
            self._changed(keys, values)
        if merged.seen:
            self._changed(merged.seen, None)
        for partition, offset, content in merged.left:
            self._record(lane, partition, offset, content)
        for partition, end in merged.ends.items():
            self._read_to(lane, partition, end)

    def _changed(self, keys: Sequence[bytes], values: Sequence[bytes] | None) -> None:
        self._delta.news = True
        if self._durable:
            for at, key in enumerate(keys):
                self._touch(key.decode(), values[at] if values else None)

    def _other(self, lane: Lane, partition: int, offset: int, item: Item) -> None:
        match item:
            case Unreadable():
                self._unreadable(lane, partition, offset, item)
            case Beat() if lane is Lane.EXPRESS:
                self._delta.beats.append((partition, offset, item))
            case Reconcile() if lane is Lane.EXPRESS:
                self._delta.asked.append(item)
            case Void() if lane is Lane.EXPRESS:
                self._void(item)
            case SnapshotComplete() if lane is Lane.BULK:
                self._snapshot(partition, item)
            case _:
                pass  # a tombstone is no news: a version is never forgotten; what is unknown opens nothing

    def _unreadable(self, lane: Lane, partition: int, offset: int, item: Unreadable) -> None:
        self._delta.news = True
        flaw = Flaw(lane, partition, offset, item.version, item.reason[:200])
        if item.key is None or item.version is None:
            if (self.state.topics.get(lane), partition, offset) not in self.state.voids:
                self.state.shut[lane, partition, offset] = flaw
            return
        image, version = self.image, item.version
        row = image.find(item.key)
        if row is None:
            row = image.add(ident(item.key), partition, version, None)
        elif version < image.version(row):
            return  # what is held is newer
        if version > image.version(row):
            image.raise_version(row, version)
            image.spoil(row)
        if image.unreadable(row):  # else it is held already: read from the other topic, or before
            self._except(item.key, flaw)
        # A good copy that stands later in the portion was taken in before it, with its block.
        image.see(row, lane, max(offset, image.seen(row, lane)))
        self._touch(item.key)

    def _except(self, key: str, flaw: Flaw) -> None:
        state, place = self.state, (flaw.lane, flaw.partition)
        if key in state.exceptions or len(state.exceptions) < EXCEPTIONS:
            state.exceptions[key] = flaw
        else:
            state.held_back[place] = min(state.held_back.get(place, flaw.offset), flaw.offset)

    def _touch(self, key: str, value: bytes | None = None) -> None:
        if self._durable and (value is not None or key not in self._delta.rows):
            self._delta.rows[key] = value

    def _snapshot(self, partition: int, event: SnapshotComplete) -> None:
        snapshot = Snapshot(event.epoch, event.generation, event.begin_restrictions, event.begin_bulk)
        known = self.state.snapshots.get(partition)
        if snapshot.number > self.state.floors.get(partition, (0, 0)) and (not known or snapshot > known):
            self.state.snapshots[partition] = snapshot
            self._delta.news = True

    def _void(self, event: Void) -> None:
        self._delta.news = True
        self.state.voids.add((event.topic_id, event.partition, event.offset))
        for lane, topic in self.state.topics.items():
            if topic == event.topic_id:
                self.state.shut.pop((lane, event.partition, event.offset), None)

    # -- batches

    def take(self) -> Delta:
        """Return the changes since the last call, for the store to commit."""
        if self.state.held_back and self.image.count_unreadable <= len(self.state.exceptions):
            self.state.held_back.clear()  # all that cannot be read are listed
        delta, self._delta = self._delta, Delta()
        return delta

    def settle(self, delta: Delta) -> None:
        """Note that the store holds `delta`: from now on its beats count."""
        for partition, offset, beat in delta.beats:
            self._freshness[partition].beat(BeatNumber(beat.epoch, beat.term, beat.n), offset)
            named = (beat.epoch, beat.generation)
            self._wanted[partition] = max(named, self._wanted.get(partition, named))
            self.latest_beat = max(self.latest_beat, beat.at.timestamp())
            if beat.about and (self.told is None or _number(beat) >= _number(self.told)):
                self.told = beat

    def probe(self, asked_at: float, ends: dict[int, int]) -> None:
        """Note the end offsets of the restrictions topic's partitions, requested at this time of `clock`."""
        for partition, end in ends.items():
            self._freshness[partition].probe(asked_at, end)

    # -- the gate

    def gate(self, partition: int, now: float) -> Shut | None:
        """Why the gate of a partition is shut, or None.

        It is open when a snapshot of the beats' epoch and generation is complete and the view is fresh.
        """
        if any(shut[1] == partition for shut in self.state.shut):
            return Shut.PARTITION_SHUT
        snapshot, wanted = self.state.snapshots.get(partition), self._wanted.get(partition)
        if snapshot is None or (wanted is not None and snapshot.number < wanted):
            return Shut.SNAPSHOT_INCOMPLETE
        age = self._freshness[partition].age(now)
        if wanted is None or age == float("inf"):
            return Shut.STARTING
        return Shut.STALE if age > self.stale_seconds else None

    def age(self, partition: int, now: float) -> float:
        """How old the view of a partition may be, in seconds; infinite before anything is known."""
        return self._freshness[partition].age(now)

    def swept(self, row: int) -> bool:
        """Whether the row's version was last read before the complete snapshot began, on both lanes. Then it is denied,
        because the register no longer has the customer.
        """
        snapshot = self.state.snapshots.get(self.image.partition(row))
        return (
            snapshot is not None
            and self.image.seen(row, Lane.EXPRESS) < snapshot.begin_express
            and self.image.seen(row, Lane.BULK) < snapshot.begin_bulk
        )


def _number(beat: Beat) -> BeatNumber:
    return BeatNumber(beat.epoch, beat.term, beat.n)
