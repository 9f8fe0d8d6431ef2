"""The organisation and the person that a draft refers to, by an id or by a company's customer number."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from kielto.events.party import Party
from kielto.service.database.pool import Conn
from services.customers.model.changing import Meant
from services.customers.model.customer import GROUP
from services.customers.model.draft import Draft, OwnId, Reference
from services.customers.model.problems import refused
from services.customers.store import reading
from services.customers.store.reading import KnownCustomer
from services.customers.use_cases.context import CustomersContext


def is_number(reference: Reference | None) -> bool:
    """Whether it is a customer number, not an id."""
    return isinstance(reference, str) and not isinstance(reference, OwnId)


@dataclass(slots=True)
class References:
    """The customers that one draft names as its organisation and its person. `scope`: the only company whose customers
    the caller may refer to; None: any.
    """

    draft: Draft
    scope: str | None
    found: dict[str, KnownCustomer | None] = field(default_factory=dict)

    def meant(self) -> Meant:
        """Raises CustomerRefusedError for a reference that means nothing to the caller."""
        organisation, person = self.found.get("organisation"), self.found.get("person")
        if self.draft.organisation is not None and not self._is_organisation(organisation):
            raise refused("organisation", "must be an organisation in the register")
        if self.draft.person is not None and not self._is_known(person):
            raise refused("person", "must be a customer in the register")
        return Meant(organisation=organisation and organisation.id, person=person and person.id)

    def _is_known(self, customer: KnownCustomer | None) -> bool:
        return customer is not None and (self.scope is None or self.scope in customer.companies)

    def _is_organisation(self, customer: KnownCustomer | None) -> bool:
        said_by = customer.organisation_by if customer else frozenset[str]()
        return self._is_known(customer) and bool(said_by & {self.scope, GROUP} if self.scope else said_by)


async def find_references(
    conn: Conn, context: CustomersContext, named_by: Mapping[int, tuple[Draft, str | None]]
) -> dict[int, References]:
    """The customers that the drafts name as organisation or person, by id or number."""
    found = {i: References(draft, scope) for i, (draft, scope) in named_by.items()}
    named = [
        (references, name, reference)
        for references in found.values()
        for name in ("organisation", "person")
        if (reference := getattr(references.draft, name)) is not None
    ]
    if not named:
        return found
    by_number = await reading.by_number(conn, [str(r) for _, _, r in named if is_number(r)])
    ids = [_ident(context, references.scope, reference, by_number) for references, _, reference in named]
    known = await reading.known(conn, ids)
    for (references, name, _), ident in zip(named, ids, strict=True):
        references.found[name] = known.get(ident)
    return found


def _ident(
    context: CustomersContext, scope: str | None, reference: Reference, by_number: Mapping[str, UUID]
) -> UUID:
    """A company names customers by its own ids, the group by theirs; any other is looked up as an unknown one."""
    if isinstance(reference, OwnId):
        return (context.keys.from_pairwise(Party.company(scope), reference) if scope else None) or uuid4()
    if isinstance(reference, UUID):
        return uuid4() if scope else reference
    return by_number.get(reference) or uuid4()
