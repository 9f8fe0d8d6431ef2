"""Addresses that nobody in the group is known by: which of them the law's table lets a campaign reach."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from kielto.events.words import PointKind
from kielto.service.database.pool import Conn
from services.consents.model.clearance import ClearanceRequest
from services.consents.model.decisions import RecordedDecision
from services.consents.model.evaluate import evaluate
from services.consents.model.facts import CustomerFacts, Person, PointFacts
from services.consents.model.ref import Ref
from services.consents.model.rules_file import Judgement
from services.consents.store import clearances
from services.consents.store.clearances import ClearanceHolders
from services.consents.use_cases.context import Context

_NOBODY = UUID(int=0)


async def reachable_strangers(
    conn: Conn, context: Context, request: ClearanceRequest, asked: Sequence[Ref], found: ClearanceHolders
) -> set[Ref]:
    """The p: refs of `asked` that name nobody in the group and may be reached.

    Whoever is another company's customer counts as not allowed, and reads as unknown: the answer tells nobody whose
    customer a stranger is. As shipped (`marketing_to_prospects` is off) no stranger may be reached.
    """
    if not context.rules.switches[Judgement.MARKETING_TO_PROSPECTS]:
        return set()
    refs = {ref for ref in asked if ref.is_point} - found.holders.keys() - found.elsewhere
    if not refs:
        return set()
    await clearances.lock_points(conn, sorted(refs))
    # Raises SubjectsMovedError: by now they are the company's customers. Another company's may have come, too.
    refs -= (await clearances.load(conn, request.company, sorted(refs), set())).elsewhere
    said: dict[Ref, list[RecordedDecision]] = {ref: [] for ref in refs}
    for ref, decision in await clearances.said(conn, list(refs)):
        said[Ref(ref)].append(decision)
    return {ref for ref, decisions in said.items() if _may_reach(context, request, ref, decisions)}


def _may_reach(
    context: Context, request: ClearanceRequest, ref: Ref, decisions: Iterable[RecordedDecision]
) -> bool:
    kind = PointKind.EMAIL if request.channel == "email" else PointKind.PHONE
    person = Person(CustomerFacts(_NOBODY, points=(PointFacts(_NOBODY, kind, ref.encrypted),)))
    terms = (request.company, request.channel, request.purpose, request.partner, request.mode)
    for cell, ruling in evaluate(person, decisions, context.facts, context.rules):
        if (cell.company, cell.channel, cell.purpose, cell.partner, cell.mode) == terms:
            groups = ruling.product_groups
            return ruling.allowed and (groups is None or request.product_group in groups)
    return False
