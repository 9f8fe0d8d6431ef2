"""The organisation and the person that a draft refers to, by an id or by a company's customer number."""

from collections.abc import Mapping
from uuid import UUID, uuid4

from kielto.events.party import Party
from kielto.service.database.pool import Conn
from services.customers.model.changing import Meant
from services.customers.model.customer import GROUP
from services.customers.model.draft import Draft, OwnId, Reference
from services.customers.model.problems import BrokenRule, CustomerRefusedError
from services.customers.store import reading
from services.customers.use_cases.context import CustomersContext


def is_number(reference: Reference | None) -> bool:
    """Whether it is a customer number, not an id."""
    return isinstance(reference, str) and not isinstance(reference, OwnId)


class References:
    """What the references of one entry mean. Called, it raises CustomerRefusedError where they mean nothing to the
    caller.
    """

    def __init__(self, draft: Draft, scope: str | None) -> None:
        self.draft, self.scope = draft, scope
        self.ids: dict[str, UUID] = {}
        self.organisations: Mapping[UUID, reading.KnownOrganisation] = {}
        self.customers: Mapping[UUID, tuple[UUID, frozenset[str]]] = {}

    def __call__(self) -> Meant:
        draft, scope = self.draft, self.scope
        organisation = person = None
        if draft.organisation is not None:
            found = self.organisations.get(self.ids.get("organisation", _NOBODY))
            if found is None or (
                scope and not (scope in found.companies and found.stated_by & {scope, GROUP})
            ):
                raise CustomerRefusedError(
                    [BrokenRule("organisation", "must be an organisation in the register")]
                )
            organisation = found.id
        if draft.person is not None:
            known = self.customers.get(self.ids.get("person", _NOBODY))
            if known is None or (scope and scope not in known[1]):
                raise CustomerRefusedError([BrokenRule("person", "must be a customer in the register")])
            person = known[0]
        return Meant(organisation=organisation, person=person)


_NOBODY = UUID(int=0)


async def find_references(
    conn: Conn, context: CustomersContext, named_by: Mapping[int, tuple[Draft, str | None]]
) -> dict[int, References]:
    """The customers that the drafts name as organisation or person, by id or number."""
    found = {i: References(draft, scope) for i, (draft, scope) in named_by.items()}
    named = [
        (meaning, field, reference)
        for meaning in found.values()
        for field in ("organisation", "person")
        if (reference := getattr(meaning.draft, field)) is not None
    ]
    if not named:
        return found
    by_number = await reading.by_number(conn, [str(r) for _, _, r in named if is_number(r)])
    for meaning, field_name, reference in named:
        meaning.ids[field_name] = _ident(context, meaning.scope, reference, by_number)
    ids = {i for meaning in found.values() for i in meaning.ids.values()}
    organisations, customers = await reading.organisations(conn, ids), await reading.companies_of(conn, ids)
    for meaning in found.values():
        meaning.organisations, meaning.customers = organisations, customers
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
