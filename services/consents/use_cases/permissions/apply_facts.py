"""Take in what was learnt about customers: their records from customers, and disclosures from marketing.

A fact works as a decision does: whoever is concerned is computed anew in the transaction that stores it. Decisions that
waited for a customer bind from the first record on.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from kielto.events.versions import Version
from kielto.service.database.pool import Conn
from kielto.service.support.yielding import in_turns
from services.consents.store.decisions import decisions, waiting
from services.consents.store.permissions import customers, locks, state
from services.consents.store.permissions.customers import CustomerProjection, Disclosure
from services.consents.store.permissions.locks import Locked
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.erase import erase
from services.consents.use_cases.permissions.evaluate_people import judge
from services.consents.use_cases.permissions.publish_records import AT_ONCE, bearing, republish


async def take_in_customers(
    conn: Conn, context: Context, rows: Sequence[CustomerProjection], told_at: datetime | None = None
) -> None:
    """Keep the newer ones and compute everyone concerned anew. Raises SubjectsMovedError: roll back and begin again.

    `told_at`: when the first of them was published, by the broker's clock; None: now.
    """
    locked = await locks.for_facts(
        conn,
        [row.id for row in rows],
        merged=[x for row in rows for x in (row.alias_of, *row.aliases) if x],
        others=[other for row in rows for other in row.others],
        refs=[ref for row in rows for ref in row.refs],
    )
    await erase(conn, context, rows, locked, told_at or datetime.now(UTC))
    await waiting.erase(conn, [row.id for row in rows if row.erased])
    if await customers.put(conn, rows):
        await waiting.due(conn, [ref for row in rows for ref in row.refs])
        await compute_anew(conn, context, locked)


async def deny_customer(conn: Conn, context: Context, customer: UUID, version: Version) -> None:
    """The record of this version cannot be read: nothing is allowed until the same or a higher one is."""
    locked = await locks.for_facts(conn, [customer])
    if await customers.deny(conn, customer, version):
        await compute_anew(conn, context, locked)


async def compute_customer_anew(conn: Conn, context: Context, customer: UUID) -> None:
    """Something besides their record changed what they may be told. Raises SubjectsMovedError."""
    await compute_anew(conn, context, await locks.for_facts(conn, [customer]))


async def take_in_disclosures(conn: Conn, context: Context, disclosures: Sequence[Disclosure]) -> None:
    """From the first disclosure on the partner has a record of the customer. Raises SubjectsMovedError."""
    locked = await locks.for_facts(
        conn, [d.customer for d in disclosures], refs=[d.ref for d in disclosures if d.ref]
    )
    if await customers.disclose(conn, disclosures):
        await waiting.due(conn, [d.ref for d in disclosures if d.ref])
        await compute_anew(conn, context, locked)


async def compute_anew(conn: Conn, context: Context, locked: Locked) -> None:
    """The records of everyone concerned, and what each decision bears on. Raises SubjectsMovedError."""
    found = await state.load(conn, locked.seed)
    locks.must_cover(locked, found.hit)
    judged = [one async for one in in_turns(judge(context, found), AT_ONCE)]
    now = datetime.now(UTC)
    written = await republish(conn, context, found, judged, now)
    bears_on = [
        row for w in written for said in w.judged.decisions for row in bearing([w], said, context.facts)
    ]
    await decisions.bear(conn, bears_on, now)
