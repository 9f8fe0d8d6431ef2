"""Build a launch's audience: walk over a company's people by ascending id, one chunk per transaction.

A chunk first locks its people's rows and then reads what they permit. So a ban is either seen here, or it sees the
recipient and recalls it (docs/decisions/0016-audiences-and-recalls.md). The walk never turns back: a recalled person
is not addressed again, whatever is lifted later. A killed launch continues where it stopped.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from kielto.events import topics
from kielto.service.database.pool import Conn, Pool, transaction
from kielto.service.outbox import publish
from kielto.service.support import tracing
from kielto.service.support.crypto_keys import Keys
from services.marketing.metrics import ADDRESSED, AUDIENCE, UNNAMED
from services.marketing.model.campaign import Campaign
from services.marketing.model.messages import audience, disclosure
from services.marketing.store import campaigns, people, recipients
from services.marketing.store.recipients import AddressedPoint, Permitted

CHUNK = 250
"""People per transaction. A ban of one of them waits until it ends: about 50 ms."""


async def address_next(pool: Pool, keys: Keys, now: datetime, chunk: int = CHUNK) -> bool:
    """Do the next chunk of the oldest launch. False when there is none that no other process works on."""
    async with transaction(pool) as conn:
        campaign = await campaigns.next_launching(conn)
        if campaign is None:
            return False
        ids = await campaigns.candidates(conn, campaign.aim.company, campaign.cursor, chunk)
        if ids:
            await people.hold(conn, ids)
            await _address(conn, keys, campaign, await recipients.permitted(conn, campaign.aim, ids), now)
            await campaigns.advance(conn, campaign.id, ids[-1], len(ids))
        else:
            await campaigns.finish(conn, campaign.id)
            size = (await recipients.counts(conn, campaign.id)).addressed
            AUDIENCE.labels(campaign.aim.party).observe(size)
    return True


async def _address(
    conn: Conn, keys: Keys, campaign: Campaign, permitted: Sequence[Permitted], now: datetime
) -> None:
    """Store these recipients, and queue what is to be said of them."""
    aim = campaign.aim
    named = [row for p in permitted if (row := _recipient(keys, aim.party, p))]
    rows = await recipients.insert(conn, campaign.id, now, named)
    people_of = [(customer, list(of)) for customer, of in groupby(rows, attrgetter("customer"))]
    messages = [
        (of[0].subject, audience("address", campaign.id, aim, of[0].subject, [r.address for r in of], now))
        for _, of in people_of
    ]
    await publish.report_many(
        conn, topics.audiences(aim.party), messages, source="marketing", traceparent=tracing.fresh()
    )
    if aim.discloses:
        disclosures = [(str(c), disclosure(campaign.id, aim, c, now)) for c, _ in people_of]
        await publish.report_many(
            conn, topics.MARKETING_EVENTS, disclosures, source="marketing", traceparent=tracing.fresh()
        )
    ADDRESSED.labels(aim.party).inc(len(people_of))


def _recipient(keys: Keys, party: str, permitted: Permitted) -> AddressedPoint | None:
    """The party's own ids of the person and of the address; a postal address has no digest, its id serves.

    None when the digest cannot be opened: nobody is addressed at a point that cannot be named.
    """
    try:
        if permitted.encrypted is None:
            address = keys.pairwise(party, permitted.point)
        else:
            address = keys.point(party, keys.decrypt(permitted.encrypted))
    except ValueError:
        UNNAMED.inc()
        return None
    subject = keys.pairwise(party, permitted.customer)
    return AddressedPoint(permitted.customer, permitted.point, subject, address)
