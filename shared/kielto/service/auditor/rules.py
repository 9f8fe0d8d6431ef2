"""What the auditor concludes from the records of our own topics. Pure: no Kafka, no database.

A record is compared with the highest version of its key read before on that topic, and with the row in `records`: the
row is committed before anything of it is published, so the topic can never be ahead of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from kielto.events import control, envelope
from kielto.events.envelope import Read, Tombstone, Unreadable
from kielto.events.records import Record
from kielto.events.topics import PARTITIONS, Family
from kielto.events.versions import Version
from kielto.events.words import Status
from kielto.kafka import partition_of


class FindingKind(StrEnum):
    REGRESSION = "regression"
    """Lower than an earlier record of its key: written by an old leader. Compaction would keep it and delete the right
    one.
    """
    AHEAD = "ahead"
    """Higher than the database has: the database was restored or forked, or somebody else writes. Not repaired here."""
    LATE_EPOCH = "late-epoch"
    """Of an earlier epoch than what is before it."""
    VANISHED = "vanished"
    """Acknowledged, and not in the topic."""
    FOREIGN = "foreign"
    """No writer of ours produces such a record."""


class LogPlace(NamedTuple):
    family: Family
    topic: str
    topic_id: UUID
    partition: int
    offset: int


class AuditFinding(NamedTuple):
    """Repaired when `key` is read back at `version` or higher, at offset `after` or behind it."""

    kind: FindingKind
    place: LogPlace
    reason: str
    key: str | None = None
    version: Version = Version(0, 0)
    after: int = 0


class OutboxRow(NamedTuple):
    """What `records` holds of a key."""

    version: Version
    status: str


class AuditedRecord(NamedTuple):
    place: LogPlace
    read: Any
    """Of `envelope.read`."""

    @property
    def key(self) -> str | None:
        """The key of a record of ours, readable or not."""
        match self.read:
            case Read(event=Record()) | Unreadable() | Tombstone():
                key: str | None = self.read.key
                return None if key is None or key.startswith("!") else key
        return None


TopicKey = tuple[UUID, str]
"""Topic id and key."""


@dataclass
class KnownVersions:
    """What is known before a batch; `examine` updates it."""

    epoch: int
    """The database's own."""
    rows: dict[tuple[str, str], OutboxRow]
    """By family name and key."""
    highest: dict[TopicKey, Version]
    epochs: dict[tuple[str, int], int]
    """By topic and partition the highest epoch that stands in it, at most our own."""
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    noted: dict[TopicKey, tuple[LogPlace, Version]] = field(default_factory=dict)
    """What this batch has changed of `highest`."""


def read(family: Family, record: Any) -> Any:
    return envelope.read(
        (family.record, control.Beat, control.Void, control.SnapshotComplete),
        record.key,
        record.value,
        record.headers,
    )


def examine(items: Iterable[AuditedRecord], known: KnownVersions) -> list[AuditFinding]:
    """The findings in a batch, each partition in order."""
    findings: list[AuditFinding] = []
    for item in items:
        findings += _examine(item, known)
        known.positions[item.place.topic, item.place.partition] = item.place.offset + 1
    return findings


def _examine(item: AuditedRecord, known: KnownVersions) -> Sequence[AuditFinding]:
    place = item.place
    match item.read:
        case Read(event=Record() as record):
            return _record(place, item.read.key, record.at_version, known)
        case Unreadable(key=key, version=version) if key is not None and version is not None:
            row = known.rows.get((place.family.name, key))
            foreign = AuditFinding(
                FindingKind.FOREIGN, place, item.read.reason, key, version, place.offset + 1
            )
            return [foreign, *_ahead(place, key, version, row, known)]
        case Unreadable():
            return [AuditFinding(FindingKind.FOREIGN, place, item.read.reason)]
        case Tombstone(key=key) if not key.startswith("!"):
            return _tombstone(place, key, known.rows.get((place.family.name, key)))
        case Read(event=control.Beat() | control.SnapshotComplete() as said):
            return _epoch(place, said.epoch, known)
    return ()


def _record(place: LogPlace, key: str, version: Version, known: KnownVersions) -> Sequence[AuditFinding]:
    row = known.rows.get((place.family.name, key))
    right = partition_of(key.encode(), PARTITIONS)
    if place.partition != right:
        after = known.positions.get((place.topic, right), 0)
        needed = row.version if row else version
        why = "partition: is not that of its key"
        return [
            AuditFinding(FindingKind.FOREIGN, place, why, key, needed, after),
            *_ahead(place, key, version, row, known),
        ]
    if ahead := _ahead(place, key, version, row, known):
        return ahead
    highest = known.highest.get((place.topic_id, key), Version(0, 0))
    epoch = known.epochs.get((place.topic, place.partition), 0)
    if version < highest:
        why = f"{version} stands behind {highest}"
        return [AuditFinding(FindingKind.REGRESSION, place, why, key, highest, place.offset + 1)]
    if version.epoch < epoch and (row is None or version < row.version):
        needed = row.version if row else Version(epoch, 0)
        why = f"{version} stands behind epoch {epoch}"
        return [AuditFinding(FindingKind.LATE_EPOCH, place, why, key, needed, place.offset + 1)]
    _epoch(place, version.epoch, known)
    if row is not None:
        known.highest[place.topic_id, key] = version
        known.noted[place.topic_id, key] = place, version
    return ()


def _ahead(
    place: LogPlace, key: str, version: Version, row: OutboxRow | None, known: KnownVersions
) -> list[AuditFinding]:
    """A key without a row and of an earlier epoch was another database's: the first backfill sweeps it."""
    if version <= row.version if row else version.epoch < known.epoch:
        return []
    why = f"{version} is above {row.version}" if row else f"{version} of a key that is not in the database"
    return [AuditFinding(FindingKind.AHEAD, place, why, key, version, place.offset + 1)]


def _tombstone(place: LogPlace, key: str, row: OutboxRow | None) -> Sequence[AuditFinding]:
    """Only an erased record has one, and only on its bulk topic."""
    if row is None or (row.status == Status.ERASED and place.topic == place.family.bulk):
        return ()
    why = "tombstone: the record is not erased" if row.status != Status.ERASED else "tombstone: on this topic"
    return [AuditFinding(FindingKind.FOREIGN, place, why, key, row.version, place.offset + 1)]


def _epoch(place: LogPlace, epoch: int, known: KnownVersions) -> Sequence[AuditFinding]:
    at = (place.topic, place.partition)
    known.epochs[at] = max(known.epochs.get(at, 0), min(epoch, known.epoch))
    if epoch <= known.epoch:
        return ()
    return [AuditFinding(FindingKind.AHEAD, place, f"epoch {epoch} is not ours", version=Version(epoch, 0))]
