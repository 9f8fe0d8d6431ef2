"""Load everything that permissions are computed from, for any number of customers, in one round trip."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from kielto.events.versions import Version
from kielto.service.database.epoch import EpochNotOpenError
from kielto.service.database.pool import Conn
from services.consents.model.decisions import RecordedDecision
from services.consents.model.facts import CustomerFacts
from services.consents.store.decisions.decisions import decision_of
from services.consents.store.permissions.bodies import customer_of
from services.consents.store.permissions.closure import BINDING, HIT, HIT_ALONE


class Published(NamedTuple):
    """The stored record of one customer in one family."""

    version: Version
    body: dict[str, Any]


@dataclass(slots=True)
class LoadedState:
    """`hit`: customers whose permissions are to be computed, known or not; `named`: those who were asked for, under
    every id. The rest is about them and those whose decisions count for them.
    """

    hit: tuple[UUID, ...]
    named: frozenset[UUID] = frozenset()
    customers: dict[UUID, CustomerFacts] = field(default_factory=dict)
    unreadable: set[UUID] = field(default_factory=set)
    keys: dict[UUID, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    """Under which key a customer has a record in a party's family: {customer: {party: key}}."""
    decisions: dict[UUID, list[RecordedDecision]] = field(default_factory=lambda: defaultdict(list))
    """By customer: what was said by or about them, under any of their names."""
    disclosed: dict[UUID, set[tuple[str, str]]] = field(default_factory=lambda: defaultdict(set))
    """(company, partner) of each disclosure."""
    published: dict[tuple[str, str], Published] = field(default_factory=dict)
    repeated: dict[UUID, bytes | None] = field(default_factory=dict)
    """The decisions among those asked about that are stored already, with their `content`."""


_LOAD = f"""
WITH RECURSIVE seed (id) AS (
    SELECT unnest($1::uuid[])
    UNION
    SELECT customer FROM customer_refs WHERE ref = $2
), {HIT}, {BINDING}, named (customer, ref) AS MATERIALIZED (
    SELECT customer, ref FROM customer_refs WHERE customer = ANY (array(SELECT id FROM context))
    UNION ALL
    SELECT id, 'c:' || id FROM context
), key (customer, family, key) AS MATERIALIZED (
    SELECT id, 'consents', id::text FROM hit
    UNION ALL
    SELECT hit.id, split_part(i.ref, ':', 2) COLLATE "default", split_part(i.ref, ':', 3) COLLATE "default"
    FROM hit CROSS JOIN LATERAL (
        SELECT ref FROM customer_refs r WHERE r.customer = hit.id AND r.ref LIKE 'i:%' OFFSET 0) AS i
)
SELECT
    (SELECT epoch FROM current_epoch) AS epoch,
    (SELECT json_object_agg(id, encode(content, 'hex')) FROM decisions WHERE id = ANY ($3)) AS repeated,
    array(SELECT id FROM hit) AS hit,
    array(SELECT id FROM person) AS person,
    (SELECT json_agg(json_build_array(id, unreadable OR EXISTS (
            SELECT FROM quarantine q WHERE q.customer = customers.id AND q.state = 'open' AND q.holds
        ), body, alias_of))
        FROM customers WHERE id = ANY (array(SELECT id FROM context))) AS customers,
    (SELECT json_agg(json_build_array(s.customer, s.said, s.allowed, s.known_by)) FROM (
        SELECT n.customer, row_to_json(d) AS said, NULL::json AS allowed, NULL AS known_by
        FROM named n CROSS JOIN LATERAL (
            SELECT * FROM decisions_in_force f WHERE f.ref = n.ref
                AND NOT EXISTS (SELECT FROM lapsed l WHERE l.decision = f.id OFFSET 0) OFFSET 0
        ) AS d
        UNION ALL
        SELECT t.customer, row_to_json(d), t.allowed, NULL
        FROM restored t CROSS JOIN LATERAL (SELECT * FROM decisions_in_force f WHERE f.id = t.decision OFFSET 0) AS d
        WHERE t.customer = ANY (array(SELECT id FROM context))
        UNION ALL
        SELECT x.customer, row_to_json(d), NULL, x.known_by FROM (
            SELECT n.customer, s.decision,
                CASE WHEN bool_and(starts_with(s.ref, 'm:')) THEN 'mailbox' ELSE 'identity' END AS known_by
            FROM suppressions s JOIN named n USING (ref)
            WHERE s.ref = ANY (array(SELECT ref FROM named)) AND NOT EXISTS (
                SELECT FROM known_apart k WHERE k.decision = s.decision AND k.customer = n.customer)
            GROUP BY n.customer, s.decision
        ) AS x CROSS JOIN LATERAL (SELECT * FROM decisions_in_force f WHERE f.id = x.decision OFFSET 0) AS d
    ) s) AS decisions,
    (SELECT json_agg(json_build_array(customer, company, partner))
        FROM disclosures WHERE customer = ANY (array(SELECT id FROM hit))) AS disclosures,
    (SELECT json_agg(json_build_array(k.customer, k.family, k.key, r.epoch, r.n, r.body))
        FROM key k LEFT JOIN LATERAL (
            SELECT epoch, n, body FROM records r WHERE r.family = k.family AND r.key = k.key OFFSET 0
        ) r ON true) AS records"""  # noqa: S608 - constants of ours

_LOAD_ALONE = _LOAD.replace(HIT, HIT_ALONE)


async def load(
    conn: Conn,
    customers: Collection[UUID],
    *,
    ref: str | None = None,
    decisions: Collection[UUID] = (),
    alone: bool = False,
) -> LoadedState:
    """All that is known of these customers, of those whom `ref` names, and of everyone concerned with them; `alone`:
    without the contact persons of an organisation.

    Raises EpochNotOpenError before the epoch exists.
    """
    row = await conn.fetchrow(_LOAD_ALONE if alone else _LOAD, customers, ref, decisions)
    assert row is not None  # the statement selects one row
    if row["epoch"] is None:
        raise EpochNotOpenError
    state = LoadedState(tuple(row["hit"]), frozenset(row["person"]))
    if row["repeated"]:
        stored: dict[str, str | None] = orjson.loads(row["repeated"])
        state.repeated = {UUID(i): bytes.fromhex(text) if text else None for i, text in stored.items()}
    for text, unreadable, body, alias_of in _json(row["customers"]):
        ident = UUID(text)
        state.customers[ident] = customer_of(ident, body, UUID(alias_of) if alias_of else None)
        if unreadable:
            state.unreadable.add(ident)
    for text, fields, allowed, known_by in _json(row["decisions"]):
        state.decisions[UUID(text)].append(decision_of(fields, UUID(text), allowed, known_by))
    for text, company, partner in _json(row["disclosures"]):
        state.disclosed[UUID(text)].add((company, partner))
    for text, family, key, epoch, n, body in _json(row["records"]):
        state.keys[UUID(text)][family] = key
        if body is not None:
            state.published[family, key] = Published(Version(epoch, n), body)
    return state


def _json(text: str | None) -> list[Any]:
    return orjson.loads(text) if text else []
