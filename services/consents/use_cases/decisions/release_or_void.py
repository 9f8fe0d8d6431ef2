"""Release held *no*s of a party about others' people, or void any of them (docs/decisions/0035-held-and-voided.md).

Each step marks the next of them in one transaction; the people concerned are owed new records from then on, which any
process computes in portions (`portions.py`). A killed run may be started again: what is marked already is skipped.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, Field

from kielto.events.topics import CONSENTS
from kielto.service.database import audit_entry
from kielto.service.database.pool import Conn, transaction
from services.consents import metrics
from services.consents.model.decisions import OfficerAction
from services.consents.store.decisions import officer_actions
from services.consents.store.decisions.decisions import decision_of
from services.consents.store.decisions.officer_actions import START, ReceiptCursor
from services.consents.store.permissions import consequences, locks
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.portions import work_off
from services.consents.use_cases.permissions.publish_records import speaks_of

AT_ONCE = 50
"""Decisions in one step; with a few customers each they are computed in half a second."""
_EVERY_SECONDS = 30.0


class OfficerOrder(NamedTuple):
    """`since`: only decisions received then or later. `by`, `why`: the officer, and the reason."""

    action: OfficerAction
    party: str
    since: datetime
    by: str
    why: str


class ActionStep(BaseModel):
    marked: int = Field(
        description=f"How many decisions, at most {AT_ONCE}; 0 while earlier ones are being computed."
    )
    more: bool = Field(description="There may be more of them: repeat the request after a second.")
    last: ReceiptCursor = Field(default=START, exclude=True)


class AllHeld(BaseModel):
    parties: list[officer_actions.HeldDecisions] = Field(description="Parties that have held decisions.")


async def act_on_next(
    context: Context, order: OfficerOrder, after: ReceiptCursor = START
) -> ActionStep | None:
    """Mark the next decisions behind `after`; None when there are no more."""
    async with transaction(context.pool) as conn:
        rows = await officer_actions.unmarked(conn, order.party, order.since, order.action, after, AT_ONCE)
        if not rows:
            return None
        ids = [row["id"] for row in rows]
        refs = {row["ref"] for row in rows}.union(await officer_actions.refs_of_erased(conn, ids))
        # Whoever is about to be known by one of these is known before it is marked, or sees the mark.
        await locks.for_facts(conn, [], refs=sorted(refs))
        marked = await officer_actions.put(conn, ids, order.action, order.by, order.why)
        for row in rows:
            if marked.get(row["id"]):
                await _owe(conn, context, order.action, row)
        await audit_entry.counted(conn, marked=len(marked))
        last = ReceiptCursor(rows[-1]["received_at"], rows[-1]["id"])
        return ActionStep(marked=len(marked), more=len(rows) == AT_ONCE, last=last)


async def _owe(conn: Conn, context: Context, action: OfficerAction, row: Mapping[str, Any]) -> None:
    """A release keeps beats waiting of the families in which it takes anything away, as the decision would have."""
    released = decision_of({**row, "holding": False})
    begun = consequences.OwedDecision(
        released.id, row["ref"], None, context.clock() if action is OfficerAction.RELEASED else None
    )
    families = (CONSENTS.name, *context.group.parties) if action is OfficerAction.RELEASED else ()
    speaks = [family for family in families if speaks_of(released, family, context.facts)]
    await consequences.owe_again(conn, begun, speaks)


async def act_on_all(context: Context, order: OfficerOrder) -> int:
    """Mark all of them and compute their records; how many decisions. Beats are let through between two steps."""
    done, after = 0, START
    while (found := await act_on_next(context, order, after)) is not None:
        done, after = done + found.marked, found.last
        while await work_off(context):
            pass
        if order.action is OfficerAction.RELEASED:
            await asyncio.sleep(context.group.beat_seconds)
    return done


async def act_on_some(context: Context, order: OfficerOrder) -> ActionStep:
    """Mark at most `AT_ONCE` decisions; mark none while as many earlier ones are still being computed."""
    if (await consequences.backlog(context.pool)).decisions >= AT_ONCE:
        return ActionStep(marked=0, more=True)
    return await act_on_next(context, order) or ActionStep(marked=0, more=False)


async def list_held(context: Context) -> AllHeld:
    return AllHeld(parties=await officer_actions.held(context.pool))


async def measure_for_ever(context: Context) -> None:
    """Update the metrics."""
    while True:
        counted = await officer_actions.foreign(context.pool, context.group.parties)
        waiting = {one.party: one.held for one in await officer_actions.held(context.pool)}
        for party, count in counted.items():
            metrics.FOREIGN_BANS.labels(party).set(count)
            metrics.HELD_BANS.labels(party).set(waiting.get(party, 0))
        await asyncio.sleep(_EVERY_SECONDS)
