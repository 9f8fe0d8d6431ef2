"""Recall people who no longer permit a campaign: remove them from it and tell the sender."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from kielto.events import topics
from kielto.events.base import Event
from kielto.service.database.pool import Conn
from kielto.service.outbox import publish
from kielto.service.support import tracing
from services.marketing.metrics import RECALL_SECONDS, RECALLS
from services.marketing.model.messages import audience
from services.marketing.store import recipients
from services.marketing.store.recipients import Recalled


async def recall(conn: Conn, customers: Sequence[UUID], published: datetime, now: datetime) -> None:
    """Check people whose stored records have just changed, in the transaction that changed them.

    It holds the people's rows, so no launch can be addressing them meanwhile: either a launch has addressed them and
    they are recalled here, or it will and sees the change. `published`: the broker's time of the change.
    """
    if not customers:
        return
    await tell(conn, await recipients.recall(conn, customers, now), published, now)


async def tell(conn: Conn, recalled: Sequence[Recalled], since: datetime, now: datetime) -> None:
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
