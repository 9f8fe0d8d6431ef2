"""Create one customer. Where the identity code is known already, the person gets the new customership
instead.
"""

from collections.abc import Callable

from kielto.service.idempotency import Claim
from kielto.service.postgres import Conn
from services.customers.model.problems import Refused
from services.customers.store import reading
from services.customers.use_cases.context import Context, in_transaction
from services.customers.use_cases.register import Entry, Outcome, register


class Exists(Exception):
    """A customer number in the entry is taken."""


async def create(
    context: Context,
    entry: Entry,
    claim: Claim | None,
    answer: Callable[[Outcome], tuple[int, bytes]],
) -> Outcome:
    """Raises Exists, Refused, NotClaimed. `answer` is what a repetition of the request gets."""

    async def work(conn: Conn) -> Outcome:
        if await reading.by_number(conn, [c.canonical for c in entry.draft.customerships]):
            raise Exists
        outcome = (await register(conn, context, [entry]))[0]
        if outcome.status == "refused":
            raise Refused(outcome.problems)
        if claim is not None:
            await claim.keep(conn, *answer(outcome))
        return outcome

    return await in_transaction(context.pool, work)
