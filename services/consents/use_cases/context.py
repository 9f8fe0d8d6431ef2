"""The `Context` that every use case, handler and router of consents is given, ids derived from it, and errors."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import NAMESPACE_URL, UUID, uuid5

from kielto.clock import Clock
from kielto.errors import KieltoError
from kielto.events.party import Party
from kielto.group import Group
from kielto.service.database.pool import Conn, Pool, in_transaction
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.limits import Limits
from services.consents.model.facts import GroupFacts
from services.consents.model.rules import Rules
from services.consents.settings import ConsentsSettings
from services.consents.store.permissions.locks import SubjectsMovedError

_NAMESPACE = uuid5(NAMESPACE_URL, "urn:kielto:decision")
_ATTEMPTS = 20
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Context:
    """`left`: parties that were of the group and are no more."""

    pool: Pool
    group: Group
    keys: Keys
    clock: Clock
    rules: Rules = field(default_factory=Rules.shipped)
    left: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)
    settings: ConsentsSettings = field(default_factory=ConsentsSettings)
    facts: GroupFacts = field(init=False)
    """The group as the model sees it."""

    def __post_init__(self) -> None:
        partners = {p.id: frozenset(p.of) for p in self.group.partners}
        gone = frozenset(Party(p).id for p in self.left if Party(p).is_company)
        object.__setattr__(self, "facts", GroupFacts(self.group.company_ids, partners, gone))

    def named(self, party: str | None, ident: UUID) -> str:
        """The id by which the party (None: the group) knows a customer, a stored address or a decision."""
        return self.keys.pairwise(party, ident) if party else str(ident)


async def settled(context: Context, work: Callable[[Conn], Awaitable[Result]]) -> Result:
    """Run `work` in one transaction. Raises TimeoutError when the people concerned keep changing."""
    try:
        return await in_transaction(context.pool, work, retry_on=(SubjectsMovedError,), attempts=_ATTEMPTS)
    except SubjectsMovedError:
        raise TimeoutError("the people concerned keep changing; try again") from None


def decision_id(party: str, ident: UUID) -> UUID:
    """Our id of a decision that a party sent under its own id: uuid5(namespace, "<party>/<the party's id>")."""
    return uuid5(_NAMESPACE, f"{party}/{ident}")


class UnknownCustomerError(KieltoError):
    """No customer has this id, or none that is a customer of the company that asks."""


class UnknownDecisionError(KieltoError):
    """No decision has this id, or another company brought it."""


class UnknownSubscriberError(KieltoError):
    """The group file has no subscriber of this id, or it is another party's."""
