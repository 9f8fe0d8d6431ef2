"""Look up recorded clearances: was a campaign allowed to reach somebody at a time, and on which record?"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import BaseModel, Field

from kielto.events.party import Party
from services.consents.store import clearances
from services.consents.use_cases.context import Context


class ClearanceEvidence(BaseModel):
    """The record that decided."""

    family: str
    key: str
    version: str
    decisions: list[str] = Field(
        description="Ids, or the company's references, that the record showed at this version."
    )


async def search(
    context: Context,
    company: str,
    campaign: str,
    at: datetime,
    refs: Sequence[str],
    address: str | None,
    asker: str | None,
) -> list[tuple[clearances.ClearedRecipient, ClearanceEvidence | None]]:
    """Clearances valid at the time that answered about any of these refs (and that address, if given). Decisions are
    named as the party `asker` knows them; None: the group.
    """
    family = Party.company(company)
    found = []
    async with context.pool.acquire() as conn:
        for one in await clearances.at(conn, company, campaign, at, refs, address):
            record = None
            if one.key is not None:
                key, decisions = await clearances.record(conn, family, one)
                named = sorted(context.named(asker, decision) for decision in decisions)
                record = ClearanceEvidence(family=family, key=key, version=str(one.version), decisions=named)
            found.append((one, record))
    return found
