"""The commitment to a decision in the signed log: all that was said, and who brought it. Subject and lifts are in it
under the salt, so that a proof shows nobody another's ids; the evidence is not, so that free text stays erasable.

Computed from a row of `decisions` when it is stored and whenever it is checked. A form that was signed never changes:
another one would be `v` 2.
"""

from datetime import UTC, datetime
from typing import Any, Protocol

from kielto.seals import blinded, commitment


class DecisionRow(Protocol):
    def __getitem__(self, name: str, /) -> Any: ...


_WORDS = (
    *("subject_kind", "subject_company", "act", "reach", "company", "partner"),
    *("by", "route", "party", "recorded_by"),
)


def statement(row: DecisionRow, salt: bytes) -> dict[str, Any]:
    """What is committed to, as plain JSON."""
    return {
        "v": 1,
        "id": str(row["id"]),
        "subject": blinded(salt, row["ref"]),
        **{name: row[name] for name in _WORDS},
        **{name: sorted(row[name]) for name in ("purposes", "channels", "product_groups")},
        "lifts": sorted(blinded(salt, str(lift)) for lift in row["lifts"]),
        **{name: instant(row[name]) for name in ("said_at", "received_at", "effective_from")},
        "widened": list(row["widened"]),
        "content": None if row["content"] is None else blinded(salt, row["content"].hex()),
    }


def commitment_of(row: DecisionRow, salt: bytes) -> bytes:
    """The 32 bytes that go into the log."""
    return commitment(salt, statement(row, salt))


def instant(at: datetime) -> str:
    """The time in UTC with microseconds, so that one moment has one form."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
