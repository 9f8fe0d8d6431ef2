"""Decisions as they are stored and as the model sees them, their evidence, and the records that show them."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from kielto.events.versions import Version
from kielto.events.words import Act, Channel, Purpose, Reach
from kielto.service.database.pool import Conn, Pool
from services.consents.model.decisions import (
    Actor,
    CustomerSubject,
    KnownBy,
    NumberSubject,
    PointSubject,
    RecordedDecision,
    Route,
    Subject,
)
from services.consents.model.ref import Ref
from services.consents.store.decision_log.commitment import commitment_of
from services.consents.store.decisions.restored import spared
from services.consents.store.permissions.closure import PERSON, has_address


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision with what only the database keeps of it. `ref` names its subject."""

    decision: RecordedDecision
    ref: str
    subject_kind: str
    party: str | None
    recorded_by: str | None
    evidence: tuple[bytes, bytes] | None = None
    """Wrapped key and encrypted text."""
    content: bytes | None = None
    """Tells apart what came under one id of the party's own."""
    foreign_subject: bool = False
    """A party's *no* that reaches beyond the party, about none of its own people."""


class ShownBy(NamedTuple):
    """A record that shows the decision from this version on. `held`: the record was the same before the decision."""

    decision: UUID
    family: str
    key: str
    version: Version
    held: bool
    by_link: bool = False
    """The decision is about somebody else, whose own no binds the record's customer."""


NOBODY = UUID(int=0)
"""Stands for a customer who is not known, or does not matter."""

_AS_SAID = (
    *("id", "act", "reach", "company", "partner", "by", "route", "widened"),
    *("said_at", "received_at", "effective_from"),
)
_SETS = ("purposes", "channels", "product_groups", "lifts")
_KEPT = ("ref", "subject_kind", "party", "recorded_by", "content", "foreign_subject")
# Named, so that a column which a later version adds gets its default while this one still runs.
_COLUMNS = ", ".join((*_AS_SAID, *_SETS, *_KEPT, "subject_company", "held"))
_SHOWN_BY = "decision, family, key, epoch, n, since, held, by_link"

_ADD = f"""
WITH said AS (
    INSERT INTO decisions ({_COLUMNS})
    SELECT {_COLUMNS} FROM json_populate_record(NULL::decisions, $1::json) RETURNING id
), proven AS (
    INSERT INTO evidence (decision, key, text) SELECT id, $2::bytea, $3::bytea FROM said WHERE $2::bytea IS NOT NULL
), salted AS (
    INSERT INTO salts (decision, salt) SELECT id, $4::bytea FROM said
), shown AS (
    INSERT INTO decision_records ({_SHOWN_BY})
    SELECT {_SHOWN_BY} FROM json_populate_recordset(NULL::decision_records, $6::json)
)
INSERT INTO unsealed (decision, commitment) SELECT id, $5::bytea FROM said"""  # noqa: S608 - constants of ours

_BEAR = f"""
INSERT INTO decision_records ({_SHOWN_BY})
SELECT {_SHOWN_BY} FROM json_populate_recordset(NULL::decision_records, $1::json)
ON CONFLICT DO NOTHING"""  # noqa: S608 - constants of ours

_GET = f"""
WITH RECURSIVE said AS (
    SELECT * FROM decisions WHERE id = $1
), seed (id) AS (
    SELECT c.customer FROM customer_refs c WHERE c.ref = (SELECT ref FROM said)
    UNION
    SELECT substr(ref, 3)::uuid FROM said WHERE starts_with(ref, 'c:')
), {PERSON}
SELECT d.*, e.key, e.text, (
    SELECT kind FROM decision_marks m WHERE m.decision = d.id ORDER BY kind DESC LIMIT 1
) AS mark, CASE
    WHEN $2::text IS NULL THEN EXISTS (SELECT FROM decision_records r WHERE r.decision = d.id AND NOT r.by_link)
    ELSE EXISTS (
        SELECT FROM person p JOIN customer_refs i ON i.customer = p.id AND starts_with(i.ref, 'i:' || $2 || ':')
        LEFT JOIN customers c ON c.id = p.id
        WHERE NOT starts_with(d.ref, 'p:') OR {has_address("c", "d.ref", "split_part($2, '.', 2)")})
END AS bound
FROM said d LEFT JOIN evidence e ON e.decision = d.id"""  # noqa: S608 - constants of ours


_FOREIGN = """
SELECT count(*) FROM (
    SELECT FROM decisions
    WHERE party = $1 AND foreign_subject AND received_at > $2::timestamptz - interval '1 hour' AND received_at <= $2
    LIMIT $3) AS f"""


_COUNT_ABOUT = """
SELECT count(*) FROM (
    SELECT FROM decisions
    WHERE ref = $1 AND party = $2 AND act = ANY ($3::text[]) AND received_at >= $4 LIMIT $5) AS f"""

_THAT_SAYS = """
SELECT d.* FROM decisions_in_force d
WHERE d.ref = $1 AND d.party = $2 AND d.act = $3
    AND (d.reach = 'group'
        OR (d.reach = $4 AND d.company IS NOT DISTINCT FROM $5 AND d.partner IS NOT DISTINCT FROM $6))
    AND (d.purposes = '{}' OR ($7::text[] <> '{}' AND d.purposes @> $7))
    AND (d.channels = '{}' OR ($8::text[] <> '{}' AND d.channels @> $8))
    AND (d.product_groups = '{}' OR ($9::text[] <> '{}' AND d.product_groups @> $9))
    AND NOT EXISTS (SELECT FROM decisions y WHERE y.lifts <> '{}' AND y.lifts @> ARRAY[d.id])
ORDER BY d.received_at DESC, d.id LIMIT 1"""


async def add(conn: Conn, stored: StoredDecision, bears_on: Sequence[ShownBy]) -> None:
    """Store a decision, its evidence, commitment and the records that show it. Raises UniqueViolationError."""
    row, salt = _row(stored), secrets.token_bytes(32)
    key, text = stored.evidence or (None, None)
    said = orjson.dumps(row, default=_as_text).decode()
    await conn.execute(_ADD, said, key, text, salt, commitment_of(row, salt), _rows(bears_on, None))


async def foreign(conn: Conn, party: str, until: datetime, most: int) -> int:
    """The number of the party's *no*s about others' people in the hour before `until`; stops counting at `most`."""
    found: int = await conn.fetchval(_FOREIGN, party, until, most)
    return found


async def count_about(
    conn: Conn, ref: str, party: str, acts: Collection[Act], since: datetime, most: int
) -> int:
    """The number of the party's decisions about the subject since then; stops counting at `most`."""
    found: int = await conn.fetchval(_COUNT_ABOUT, ref, party, list(acts), since, most)
    return found


async def that_says(conn: Conn, ref: str, party: str, said: RecordedDecision) -> RecordedDecision | None:
    """A *no* of the party about the subject that says as much, and that nobody has ever cited to lift it."""
    row = await conn.fetchrow(
        _THAT_SAYS,
        ref,
        party,
        said.act,
        said.reach,
        said.company,
        said.partner,
        sorted(said.purposes),
        sorted(said.channels),
        sorted(said.product_groups),
    )
    return None if row is None else replace(decision_of(dict(row)), subject=said.subject)


async def add_records(conn: Conn, bears_on: Sequence[ShownBy], since: datetime | None) -> None:
    """Note records that show decisions only since then (None: from their receipt); known ones keep their version."""
    if bears_on:
        await conn.execute(_BEAR, _rows(bears_on, since))


async def get(conn: "Conn | Pool", ident: UUID, party: str | None) -> dict[str, Any] | None:
    """The row of `decisions`, with the evidence's `key` and `text`; `bound`: it binds somebody known, or a customer of
    the party; `mark`: the last action of an officer.
    """
    row = await conn.fetchrow(_GET, ident, party)
    return None if row is None else dict(row)


def _row(stored: StoredDecision) -> dict[str, Any]:
    """The row of `decisions`, by column."""
    d = stored.decision
    return {
        **{name: getattr(d, name) for name in _AS_SAID},
        **{name: sorted(getattr(d, name)) for name in _SETS},
        **{name: getattr(stored, name) for name in _KEPT},
        "subject_company": d.subject.company if isinstance(d.subject, NumberSubject) else None,
        "held": d.held_at is not None,
    }


def _rows(bears_on: Sequence[ShownBy], since: datetime | None) -> str:
    """Rows of `decision_records` as JSON, by column."""
    rows = [
        {
            "decision": b.decision,
            "family": b.family,
            "key": b.key,
            "epoch": b.version.epoch,
            "n": b.version.n,
            "since": since,
            "held": b.held,
            "by_link": b.by_link,
        }
        for b in bears_on
    ]
    return orjson.dumps(rows, default=_as_text).decode()


def _as_text(value: object) -> str:
    """What orjson does not know, as PostgreSQL reads it: bytea, and asyncpg's own UUID."""
    match value:
        case bytes():
            return "\\x" + value.hex()
        case UUID():
            return str(value)
    raise TypeError(type(value).__name__)


def decision_of(
    row: Mapping[str, Any], customer: UUID = NOBODY, allowed: Any = None, known_by: str | None = None
) -> RecordedDecision:
    """The model's view of a row of `decisions_in_force`, for `customer`: by whatever id a party gave it, it is about
    that customer.

    `allowed`: of one that was restored. `known_by`: a `KnownBy`, of one that somebody said who was erased.
    """
    return RecordedDecision(
        id=_uuid(row["id"]),
        subject=CustomerSubject(customer) if known_by else _subject(row, customer),
        act=Act(row["act"]),
        reach=Reach(row["reach"]),
        company=row["company"],
        partner=row["partner"],
        purposes=frozenset(map(Purpose, row["purposes"])),
        channels=frozenset(map(Channel, row["channels"])),
        by=Actor(row["by"]),
        route=Route(row["route"]),
        said_at=_time(row["said_at"]),
        received_at=_time(row["received_at"]),
        effective_from=_time(row["effective_from"]),
        lifts=frozenset(map(_uuid, row["lifts"])),
        product_groups=frozenset(row["product_groups"]),
        widened=tuple(row["widened"]),
        spared=None if allowed is None else spared(allowed),
        suppressed=KnownBy(known_by) if known_by else None,
        held_at=row["party"] if row["holding"] else None,
    )


def _subject(row: Mapping[str, Any], customer: UUID) -> Subject:
    match row["subject_kind"]:
        case "number":
            return NumberSubject(row["subject_company"], Ref(row["ref"]).encrypted)
        case "email" | "phone":
            return PointSubject(Ref(row["ref"]).encrypted)
        case _:
            return CustomerSubject(customer)


def _uuid(value: UUID | str) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _time(value: datetime | str) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromisoformat(value)
