"""Recall people who no longer permit a campaign, or whose campaign ends because a party left the group: remove them
from it and tell the sender.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from kielto.events import topics
from kielto.events.base import Event
from kielto.group import Group
from kielto.service.database.pool import Conn, Pool, transaction
from kielto.service.outbox import publish
from kielto.service.support import tracing
from services.marketing.metrics import RECALL_SECONDS, RECALLS
from services.marketing.model.messages import audience
from services.marketing.store import campaigns, recipients
from services.marketing.store.recipients import Recalled

AT_ONCE = 1000
"""Addresses of an ended campaign recalled in one transaction."""


async def recall(conn: Conn, customers: Sequence[UUID], published: datetime, now: datetime) -> None:
    """Check people whose stored records have just changed, in the transaction that changed them.

    It holds the people's rows, so no launch can be addressing them meanwhile: either a launch has addressed them and
    they are recalled here, or it will and sees the change. `published`: the broker's time of the change.
    """
    if not customers:
        return
    await _tell(conn, await recipients.recall(conn, customers, now), published, now)


async def end_next(pool: Pool, group: Group, now: datetime) -> bool:
    """End a campaign of a company or partner that left the group, or that no longer work together: recall the next
    people and close it when nobody is left. False when there is no such campaign that nobody else is at.
    """
    pairs = [(company, partner.id) for partner in group.partners for company in partner.of]
    async with transaction(pool) as conn:
        campaign = await campaigns.orphan(conn, group.company_ids, pairs)
        if campaign is None:
            return False
        recalled = await recipients.recall_all(conn, campaign.id, now, AT_ONCE)
        await _tell(conn, recalled, now, now)
        if not recalled and not await recipients.stands(conn, campaign.id):
            await campaigns.set_closed(conn, campaign.id, now)
    return True


async def _tell(conn: Conn, recalled: Sequence[Recalled], since: datetime, now: datetime) -> None:
    """The senders of who was recalled; `since`: the time of what it follows from."""
    messages: dict[str, list[tuple[str, Event]]] = {}
    for gone in recalled:
        message = audience("recall", gone.campaign, gone.aim, gone.subject, gone.addresses, now)
        messages.setdefault(gone.aim.party, []).append((gone.subject, message))
    for party, events in messages.items():
        trace = tracing.fresh()  # a party's traces are its own
        await publish.report_many(
            conn, topics.audiences(party), events, source="marketing", traceparent=trace
        )
        RECALLS.labels(party).inc(len(events))
        RECALL_SECONDS.observe(max(0.0, (now - since).total_seconds()))
