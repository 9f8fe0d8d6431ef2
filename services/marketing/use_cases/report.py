"""A party reports a delivery or a response: stored once, and told to our own services."""

import re
from datetime import datetime

import asyncpg

from kielto.events import topics
from kielto.events.base import Event
from kielto.events.messages import Report
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import PermanentError
from kielto.service.outbox import publish
from kielto.service.support import tracing
from kielto.service.support.crypto_keys import Keys
from services.marketing.model.messages import reported, unaddressed
from services.marketing.store import campaigns, recipients

_HASH = re.compile(r"[0-9a-f]{64}")


async def take_report(
    conn: Conn, keys: Keys, party: str, report: Report, reported_at: datetime | None = None
) -> None:
    """Raises PermanentError when it is about a campaign that is not the party's, a response of somebody never
    addressed, or a delivery to an id that the party was never given.

    A delivery to somebody never addressed is told all the same: who was banned before the launch is just that.
    """
    if report.point is not None and not _HASH.fullmatch(report.point):
        raise PermanentError("point: must be 64 hex digits")
    campaign = await campaigns.get(conn, report.campaign)
    if campaign is None or campaign.aim.party != party:
        raise PermanentError("campaign: must be one that this party sends")
    customer = await recipients.meant(conn, campaign.id, report.subject)
    if customer is None:
        if report.what != "delivery":
            raise PermanentError("subject: must have been addressed in this campaign")
        if keys.from_pairwise(party, report.subject) is None:  # nobody's, whoever we come to know
            raise PermanentError("subject: must be an id that this party was given")
        await _tell(conn, report.subject, unaddressed(report, party, campaign.aim, reported_at))
        return
    try:
        new = await recipients.insert_report(conn, party, report, customer)
    except asyncpg.DataError:
        # A moment out of the calendar. An outsider's message must not be tried for ever.
        raise PermanentError("report: has a value that cannot be stored") from None
    if new:
        await _tell(conn, str(customer), reported(report, party, campaign.aim, customer, reported_at))


async def _tell(conn: Conn, key: str, event: Event) -> None:
    await publish.report(
        conn, topics.MARKETING_EVENTS, key, event, source="marketing", traceparent=tracing.current()
    )
