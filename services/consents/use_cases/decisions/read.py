"""Read one decision as it was given."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from services.consents.model.decisions import OfficerAction
from services.consents.model.ref import Ref
from services.consents.store.decisions import decisions
from services.consents.use_cases.context import Context, UnknownDecisionError


class DecisionAsGiven(NamedTuple):
    """`row`: of the table `decisions`, by column. `customer`: the subject's id as whoever asks knows it, if any."""

    row: Mapping[str, Any]
    status: str
    customer: str | None
    evidence: str | None


async def read_decision(context: Context, ident: UUID, party: str | None) -> DecisionAsGiven:
    """The decision with its evidence in clear; a party reads what it brought itself. Raises UnknownDecisionError."""
    row = await decisions.get(context.pool, ident, party)
    if row is None or party not in (None, row["party"]):
        raise UnknownDecisionError
    evidence = None
    if row["key"] is not None:
        evidence = context.keys.data_key(ident, row["key"]).decrypt(row["text"], b"evidence")
    return DecisionAsGiven(row, _status(row), _customer(context, Ref(row["ref"]), party), evidence)


def _status(row: Mapping[str, Any]) -> str:
    if row["mark"] == OfficerAction.VOIDED or (row["held"] and row["mark"] is None):
        return row["mark"] or "held"
    return "in_force" if row["bound"] else "pending"


def _customer(context: Context, ref: Ref, party: str | None) -> str | None:
    """The customer whom a ref names, as the party knows them (None: the group). None: it names nobody by an id."""
    if ident := ref.customer_id:
        return context.named(party, ident)
    if ref.party_and_id is None:
        return None
    whose, key = ref.party_and_id
    if party == whose:
        return key
    known = context.keys.from_pairwise(whose, key) if party is None else None
    return str(known) if known else None
