"""Create one customer. If the same source stated the identifier before, that customer gets the new customership
instead.
"""

from collections.abc import Callable

from kielto.errors import KieltoError
from kielto.service.database import audit_entry
from kielto.service.database.pool import Conn
from kielto.service.http.idempotency import IdempotencyKey
from services.customers.model.problems import CustomerRefusedError
from services.customers.store import reading
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.register import (
    Registration,
    RegistrationOutcome,
    lock_for,
    register,
)


class CustomerExistsError(KieltoError):
    """A customer number in the draft is taken."""


async def create(
    context: CustomersContext,
    entry: Registration,
    key: IdempotencyKey | None,
    answer: Callable[[RegistrationOutcome], tuple[int, bytes]],
) -> RegistrationOutcome:
    """Raises CustomerExistsError, CustomerRefusedError, EpochNotOpenError, guesses.TooManyRefusedError. `answer` is
    what a repetition of the request gets.
    """
    context.guesses.check(entry.speaker.name, by_identifier=entry.by_identifier)

    async def work(conn: Conn) -> RegistrationOutcome:
        await lock_for(conn, context, [entry.draft])
        if await reading.by_number(conn, [c.canonical for c in entry.draft.customerships]):
            raise CustomerExistsError
        outcome = (await register(conn, context, [entry]))[0]
        audit_entry.about(outcome.id)
        if key is not None and outcome.status != "refused":
            await key.keep(conn, *answer(outcome))
        return outcome

    outcome = await in_transaction(context, work)
    if outcome.status == "refused":  # after the commit: what contradicts is kept for the group to look at
        if entry.by_identifier:
            context.guesses.refused(entry.speaker.name)
        raise CustomerRefusedError(outcome.problems)
    return outcome
