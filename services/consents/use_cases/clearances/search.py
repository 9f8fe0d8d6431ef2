"""Look up recorded clearances: was a campaign allowed to reach somebody at a time, and on which record?"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from kielto.events.party import Party
from services.consents.store import clearances
from services.consents.use_cases.context import Context


class ClearanceEvidence(NamedTuple):
    """The record that decided: `decisions` are those that its version showed."""

    family: str
    key: str
    version: str
    decisions: list[UUID]


class FoundClearance(NamedTuple):
    cleared: clearances.ClearedRecipient
    record: ClearanceEvidence | None


async def search(
    context: Context, company: str, campaign: str, at: datetime, refs: Sequence[str], address: str | None
) -> list[FoundClearance]:
    """Clearances of the campaign that were valid at the time and answered about any of these refs; with the ref of an
    address, only about that address.
    """
    family = Party.company(company)
    found = []
    async with context.pool.acquire() as conn:
        for one in await clearances.at(conn, company, campaign, at, refs, address):
            record = None
            if one.key is not None:
                key, decisions = await clearances.record(conn, family, one)
                record = ClearanceEvidence(family, key, str(one.version), decisions)
            found.append(FoundClearance(one, record))
    return found
