"""Create one customer; change it if the caller has seen its present revision; end its customership in a company."""

from collections.abc import Callable, Collection
from datetime import date
from uuid import UUID

from kielto.errors import KieltoError
from kielto.service.database import audit_entry
from kielto.service.database.pool import Conn
from kielto.service.http.idempotency import IdempotencyKey
from kielto.validation import FieldRule
from services.customers.model import entitlement
from services.customers.model.customer import RegisteredCustomer, StoredCustomer
from services.customers.model.draft import Draft, DraftCustomership, Speaker
from services.customers.model.problems import CustomerRefusedError, refused
from services.customers.store import reading
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.read import NoSuchCustomerError, alias, visible
from services.customers.use_cases.register import Registration, RegistrationOutcome, lock_for, register


class CustomerExistsError(KieltoError):
    """A customer number in the draft is taken."""


class StaleRevisionError(KieltoError):
    """The customer was changed since the caller read it."""


async def create(
    context: CustomersContext,
    entry: Registration,
    key: IdempotencyKey | None,
    answer: Callable[[RegistrationOutcome], tuple[int, bytes]],
) -> RegistrationOutcome:
    """Create a customer. If the same source stated the identifier before, that customer gets the new customership
    instead. `answer` is what a repetition of the request gets. Raises CustomerExistsError, CustomerRefusedError,
    EpochNotOpenError, guesses.TooManyRefusedError.
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


async def change(
    context: CustomersContext, ident: UUID, draft: Draft, speaker: Speaker, seen: Collection[int] | None
) -> StoredCustomer:
    """`seen`: one of these is the revision that the caller has read; None: whatever it is.

    Raises NoSuchCustomerError, StaleRevisionError, CustomerRefusedError, EpochNotOpenError.
    """

    async def work(conn: Conn) -> StoredCustomer:
        await lock_for(conn, context, [draft])
        stored = await _locked(conn, context, ident, speaker.company)
        if seen is not None and stored.revision(speaker.company) not in seen:
            raise StaleRevisionError
        _entitled(stored.customer, draft, speaker)
        return await _apply(conn, context, ident, draft, speaker)

    return await in_transaction(context, work)


async def end(
    context: CustomersContext,
    ident: UUID,
    company: str,
    number: str | None,
    ended: date | None,
    speaker: Speaker,
) -> StoredCustomer:
    """End the customership under the canonical `number`, or every one in the company; for an alias, in the survivor.
    No revision is compared, since an end is never refused for being late. Without `ended` it ends today; one that
    ended before keeps its day. Raises NoSuchCustomerError, CustomerRefusedError, EpochNotOpenError.
    """
    today = context.moment().today
    if ended and ended > today:
        raise refused("ended", "must not be in the future")

    async def work(conn: Conn) -> StoredCustomer:
        stored = await _locked(conn, context, ident, speaker.company, follow=True)
        draft = Draft(customerships=_endings(stored.customer, company, number, ended or today))
        return await _apply(conn, context, stored.customer.id, draft, speaker)

    return await in_transaction(context, work)


def _entitled(customer: RegisteredCustomer, draft: Draft, speaker: Speaker) -> None:
    """A former customer is changed by the group or by a company in which the customership is in force."""
    if not entitlement.may_change(customer, speaker.company) and draft.stated - {"customerships"}:
        rule = "can only be changed by a company whose customer this is now"
        raise CustomerRefusedError(
            [FieldRule(field, rule) for field in sorted(draft.stated - {"customerships"})]
        )


def _endings(
    customer: RegisteredCustomer, company: str, number: str | None, ended: date
) -> tuple[DraftCustomership, ...]:
    own = [c for c in customer.customerships if c.company == company and number in (None, c.canonical)]
    if not own:
        raise NoSuchCustomerError
    return tuple(
        DraftCustomership(c.company, c.number, c.canonical, None, ended, states_end=True)
        for c in own
        if c.active
    )


async def _locked(
    conn: Conn, context: CustomersContext, ident: UUID, scope: str | None, *, follow: bool = False
) -> StoredCustomer:
    """Load and lock the customer. `follow`: an alias leads to its survivor; otherwise an alias is refused."""
    loaded = await reading.load(conn, context.keys, [ident], lock=True)
    if ident not in loaded and (merged := await alias(conn, ident, scope)):
        if follow:
            return await _locked(conn, context, merged.survivor, scope, follow=True)
        raise refused("customer", "was merged: change the customer named in alias_of")
    return visible(loaded.get(ident), scope)


async def _apply(
    conn: Conn, context: CustomersContext, ident: UUID, draft: Draft, speaker: Speaker
) -> StoredCustomer:
    entry = Registration(draft, speaker, scope=speaker.company, target=ident)
    outcome = (await register(conn, context, [entry]))[0]
    if outcome.status == "refused":
        raise CustomerRefusedError(outcome.problems)
    return (await reading.load(conn, context.keys, [ident]))[ident]
