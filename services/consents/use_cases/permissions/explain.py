"""Explain a customer's current permissions: what is allowed and which rule and decisions decided it."""

from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from kielto.events.party import Party
from kielto.events.words import Channel
from services.consents.model.decisions import RecordedDecision
from services.consents.model.ruling import CellPermission
from services.consents.store.permissions import state
from services.consents.use_cases.context import Context, UnknownCustomerError
from services.consents.use_cases.permissions.evaluate_people import PersonPermissions, evaluate_people
from services.consents.use_cases.permissions.publish_records import speaks_of


class Explanation(NamedTuple):
    """Why a customer's permissions are as they are.

    `cells`: the permissions at the companies that were asked for.
    `decisions`: by id, those that decided any of them, and the restrictions.
    """

    permissions: PersonPermissions
    cells: tuple[CellPermission, ...]
    decisions: dict[UUID, RecordedDecision]
    restrictions: frozenset[UUID]


async def explain(
    context: Context, customer: UUID, company: str | None, channel: Channel | None = None
) -> Explanation:
    """The permissions of the customer at the company; None: at all of them. Raises UnknownCustomerError."""
    async with context.pool.acquire() as conn:
        # Not whom their own no binds: fifty records with fifty addresses each would be read to show one.
        found = await state.load(conn, [customer], alone=True)
    if customer not in found.customers or (company and Party.company(company) not in found.keys[customer]):
        raise UnknownCustomerError
    (permissions,) = evaluate_people(context, found)
    cells = tuple(_asked_for(permissions, company, channel))
    said = {d.id: d for d in permissions.decisions}
    about = {i for v in cells for i in v.ruling.decisions}
    restrictions = permissions.restrictions
    if company is not None:
        held = permissions.at(company).restrictions
        restrictions = frozenset(r for r in held if speaks_of(said[r], Party.company(company), context.facts))
    deciding = {i: said[i] for i in about | restrictions if i in said}
    return Explanation(permissions, cells, deciding, restrictions)


def _asked_for(
    permissions: PersonPermissions, company: str | None, channel: Channel | None
) -> Iterator[CellPermission]:
    for permission in permissions.cells:
        if company in (None, permission.cell.company) and channel in (None, permission.cell.channel):
            yield permission
