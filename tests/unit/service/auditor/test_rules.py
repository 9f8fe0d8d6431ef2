"""What the auditor makes of records: for each schedule the findings, and that its own repairs are none."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from kielto.events.control import Beat
from kielto.events.envelope import Read, Tombstone, Unreadable
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, permissions_of
from kielto.events.versions import Version
from kielto.kafka import partition_of
from kielto.service.auditor.rules import (
    AuditedRecord,
    AuditFinding,
    FindingKind,
    KnownVersions,
    LogPlace,
    OutboxRow,
    examine,
)

FAMILY = permissions_of("company.a")
KEY = "ab" * 32
PARTITION = partition_of(KEY.encode(), PARTITIONS)
TOPIC = UUID(int=7)


def known(row: Version | None, *, epoch: int = 1, status: str = "live") -> KnownVersions:
    rows = {(FAMILY.name, KEY): OutboxRow(row, status)} if row else {}
    return KnownVersions(epoch=epoch, rows=rows, highest={}, epochs={})


def item(offset: int, read: Any, *, topic: str = FAMILY.bulk, partition: int = PARTITION) -> AuditedRecord:
    return AuditedRecord(LogPlace(FAMILY, topic, TOPIC, partition, offset), read)


def record(version: Version) -> Read:
    return Read(KEY, Permissions(version=str(version), subject=KEY))


def beat(epoch: int) -> Read:
    return Read("!beat", Beat(epoch=epoch, term=1, n=1, generation=1, at=datetime(2026, 1, 1, tzinfo=UTC)))


def kinds(findings: list[AuditFinding]) -> list[FindingKind]:
    return [finding.kind for finding in findings]


def read_all(state: KnownVersions, *reads: Any, **where: Any) -> list[AuditFinding]:
    return examine([item(offset, read, **where) for offset, read in enumerate(reads)], state)


def test_rising_and_equal_versions_are_right() -> None:
    versions = [Version(1, 1), Version(1, 1), Version(1, 4), Version(2, 5), Version(2, 5)]
    state = known(Version(2, 5), epoch=2)
    assert read_all(state, *map(record, versions)) == []
    place, highest = state.noted[TOPIC, KEY]
    assert (place.offset, highest) == (4, Version(2, 5))


def test_a_lower_one_needs_the_highest_behind_it() -> None:
    state = known(Version(1, 9))
    (finding,) = read_all(state, record(Version(1, 4)), record(Version(1, 3)))
    assert (finding.kind, finding.version, finding.after) == (FindingKind.REGRESSION, Version(1, 4), 2)
    assert state.highest[TOPIC, KEY] == Version(1, 4)


def test_above_the_database_is_never_noted() -> None:
    """Or what the primary publishes afterwards would look like a zombie's, and be repaired for ever."""
    state = known(Version(1, 3))
    assert kinds(read_all(state, record(Version(1, 8)), record(Version(1, 3)))) == [FindingKind.AHEAD]
    assert state.highest[TOPIC, KEY] == Version(1, 3)


def test_a_key_without_a_row() -> None:
    assert kinds(read_all(known(None, epoch=2), record(Version(2, 1)))) == [FindingKind.AHEAD]
    assert read_all(known(None, epoch=2), record(Version(1, 1))) == [], "another database's, swept"


def test_an_earlier_epoch_behind_a_later_beat() -> None:
    sign = beat(2)
    state = known(Version(2, 9), epoch=2)
    found = read_all(state, record(Version(1, 5)), sign, record(Version(1, 6)), topic=FAMILY.express)
    assert [(f.kind, f.place.offset, f.version) for f in found] == [
        (FindingKind.LATE_EPOCH, 2, Version(2, 9))
    ]
    assert read_all(state, record(Version(2, 9)), topic=FAMILY.express) == []


def test_a_row_that_its_epoch_has_not_raised_yet_is_not_late() -> None:
    """It is what the primary holds: published again it would be found again."""
    sign = beat(2)
    assert read_all(known(Version(1, 5), epoch=2), sign, record(Version(1, 5))) == []


def test_somebody_elses_epoch_makes_nothing_of_ours_late() -> None:
    sign = beat(5)
    found = read_all(known(Version(1, 5)), sign, record(Version(1, 5)))
    assert [(f.kind, f.key, f.version) for f in found] == [(FindingKind.AHEAD, None, Version(5, 0))]


def test_unreadable() -> None:
    held = known(Version(1, 5))
    (finding,) = read_all(held, Unreadable("value: JSON", KEY, Version(1, 4)))
    assert (finding.kind, finding.version, finding.after) == (FindingKind.FOREIGN, Version(1, 4), 1)
    assert kinds(read_all(held, Unreadable("value: JSON", KEY, Version(1, 6)))) == [
        FindingKind.FOREIGN,
        FindingKind.AHEAD,
    ]
    (keyless,) = read_all(held, Unreadable("key: is no id of this topic"))
    assert (keyless.kind, keyless.key) == (FindingKind.FOREIGN, None)


def test_tombstones() -> None:
    erased = known(Version(1, 5), status="erased")
    assert read_all(erased, Tombstone(KEY)) == []
    assert kinds(read_all(erased, Tombstone(KEY), topic=FAMILY.express)) == [FindingKind.FOREIGN]
    assert kinds(read_all(known(Version(1, 5)), Tombstone(KEY))) == [FindingKind.FOREIGN]
    assert read_all(erased, Tombstone("!void.x")) == []


def test_another_partition_is_repaired_in_the_right_one() -> None:
    state, wrong = known(Version(1, 5)), (PARTITION + 1) % PARTITIONS
    state.positions[FAMILY.bulk, PARTITION] = 40
    (finding,) = read_all(state, record(Version(1, 5)), partition=wrong)
    assert (finding.kind, finding.after) == (FindingKind.FOREIGN, 40)
    assert not state.noted


versions = st.builds(Version, st.integers(1, 3), st.integers(1, 5))


@given(st.lists(versions), versions)
def test_what_the_primary_holds_is_always_right_behind_anything(log: list[Version], row: Version) -> None:
    """So no repair is ever a finding: nothing is repaired for ever."""
    state = known(row, epoch=3)
    read_all(state, *map(record, log))
    assert examine([item(len(log), record(row))], state) == []
    assert state.highest[TOPIC, KEY] == row


@given(st.lists(versions, min_size=1), versions)
def test_where_the_last_is_not_the_highest_something_is_found(log: list[Version], row: Version) -> None:
    state = known(row, epoch=3)
    findings = read_all(state, *map(record, log))
    if log[-1] < max(log):
        assert findings
    for finding in findings:
        assert finding.after > finding.place.offset
