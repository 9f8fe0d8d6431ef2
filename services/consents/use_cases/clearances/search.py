"""Was a campaign allowed to reach somebody at a time, and on what record? Asked of what was recorded."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from kielto.service.database.pool import Pool
from kielto.subscriber.gate.questions import Reason
from services.consents.store.clearances import clearances
from services.consents.store.clearances.clearances import ClearanceRequest, ClearedRecipient


class ClearanceEvidence(NamedTuple):
    """The record that decided: `decisions` are those that its version showed."""

    family: str
    key: str
    version: str
    decisions: list[UUID]


class FoundClearance(NamedTuple):
    id: UUID
    asked: ClearanceRequest
    at: datetime
    valid_until: datetime
    reason: Reason
    record: ClearanceEvidence | None


async def cleared(
    pool: Pool, company: str, campaign: str, at: datetime, refs: Sequence[str], address: str | None
) -> list[FoundClearance]:
    """Every clearance of the campaign that was valid at the time and answered about any of these refs; with the ref of
    an address, about none but that."""
    async with pool.acquire() as conn:
        shown = []
        for entry in await clearances.at(conn, company, campaign, at, refs, address):
            record = None
            if entry.key is not None:
                family = f"company.{company}"
                key, decisions = await clearances.record(conn, family, entry)
                record = ClearanceEvidence(family, key, str(entry.version), decisions)
            shown.append(_shown(entry, record))
    return shown


def _shown(entry: ClearedRecipient, record: ClearanceEvidence | None) -> FoundClearance:
    row = entry.clearance
    asked = ClearanceRequest(*(row[name] for name in ClearanceRequest._fields))
    return FoundClearance(row["id"], asked, row["at"], row["valid_until"], entry.reason, record)
