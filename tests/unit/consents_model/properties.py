"""What must hold in every world. Each raises AssertionError; planted bugs have to make one of them fail."""

from uuid import UUID

from kielto.events.words import Recipient
from services.consents.model.derived import takes_away
from services.consents.model.evaluate import evaluate
from services.consents.model.facts import CustomerFacts
from services.consents.model.ruling import Cell, Groups, RulingReason
from tests.unit.consents_model import reference
from tests.unit.consents_model.world import GROUP, RULES, ModelWorld, plain, plain_cell, restrictions_in_force

Allowed = dict[UUID, dict[Cell, Groups]]


def agrees_with_reference(world: ModelWorld) -> None:
    plainly = plain(world)
    for customer in world.customers:
        mine = {plain_cell(cell): groups for cell, groups in world.allowed(customer.id).items()}
        assert mine == reference.allowed(plainly, str(customer.id)), customer.id


def explains_itself(world: ModelWorld) -> None:
    """A restricted cell names exactly the restrictions that deny it, and each of those is in force."""
    plainly = plain(world)
    for customer in world.customers:
        person = world.person(customer.id)
        in_force = restrictions_in_force(person, world.decisions, RULES)
        for cell, ruling in evaluate(person, world.decisions, GROUP, RULES):
            assert ruling.allowed == (ruling.product_groups != frozenset())
            if ruling.reason in (RulingReason.FACT, RulingReason.NEVER):
                continue
            denying = reference.denying(plainly, str(customer.id), plain_cell(cell))
            named = {str(i) for i in ruling.decisions} if ruling.reason is RulingReason.RESTRICTED else set()
            assert named <= denying
            assert named <= {str(i) for i in in_force}
            # A contact person's two lanes may have different reasons; one of them is given.
            recipient = person.seen_by(cell.company).root.recipient
            if not ruling.allowed and recipient is not Recipient.CONTACT:
                assert named == denying


def never_allows_more(before: Allowed, after: Allowed) -> None:
    """No late yes (b): a restriction or a restricting fact allows nothing that was denied."""
    for ident, allowed in after.items():
        assert not takes_away(allowed, before[ident]), ident


def another_companys_word_changes_nothing(before: ModelWorld, after: ModelWorld, company: str) -> None:
    """What one company states of anybody is nothing to the others."""
    for customer in before.customers:
        was, now = (_of_others(world.allowed(customer.id), company) for world in (before, after))
        assert now == was, customer.id


def another_companys_decision_loosens_nothing(before: ModelWorld, after: ModelWorld, company: str) -> None:
    """A no that one company brings may travel, a yes does not."""
    for customer in before.customers:
        was, now = (_of_others(world.allowed(customer.id), company) for world in (before, after))
        assert not takes_away(now, was), customer.id
        if after.decisions[-1].is_yes:
            assert now == was, customer.id


def _of_others(allowed: dict[Cell, Groups], company: str) -> dict[Cell, Groups]:
    return {cell: groups for cell, groups in allowed.items() if cell.company != company}


def uncited_restrictions_hold(world: ModelWorld) -> None:
    """No late yes (a): nothing that an uncited restriction covers is allowed, whatever else was said."""
    plainly = plain(world)
    cited = {ident for d in plainly["decisions"] for ident in d["lifts"]}
    for customer in world.customers:
        me = str(customer.id)
        for cell in world.allowed(customer.id):
            covering = reference.restrictions_on(plainly, me, plain_cell(cell))
            binding = {
                d["id"]
                for d in covering
                if not str(reference.speaker(plainly, me, d, cell.company)).startswith("employer")
            }
            assert not binding - cited, (me, cell)


Place = tuple[str, object, str, str, str | None, str | None]


def bans_at(world: ModelWorld, customer: CustomerFacts) -> dict[Place, set[UUID]]:
    """By cell at an *address* (which outlives a merge): the restrictions that deny it to this customer now."""
    found: dict[Place, set[UUID]] = {}
    person = world.person(customer.id)
    addresses = {p.id: p.ref or p.id for p in person.root.points}
    for cell, ruling in evaluate(person, world.decisions, GROUP, RULES):
        if ruling.reason is RulingReason.RESTRICTED:
            found[_place(cell, addresses)] = set(ruling.decisions)
    return found


def merge_keeps_bans(before: ModelWorld, after: ModelWorld, one: UUID, other: UUID) -> None:
    """No late yes (c): what either had banned at an address stays banned, unless some yes cites the ban.

    A yes of the one that cites a ban of the other is the person's own once they are known to be the same.
    """
    cited = {ident for d in before.decisions for ident in d.lifts}
    banned = [bans_at(before, before.customer(ident)) for ident in (one, other)]
    plainly = plain(before)
    unlimited = [d for d in plainly["decisions"] if d["id"] not in {str(i) for i in cited}]
    own = [
        d for d in unlimited if "self" in {reference.speaker(plainly, str(i), d, None) for i in (one, other)}
    ]
    nos = [d for d in own if d["act"] not in reference.YES]
    for ident in (one, other):
        addresses = {p.id: p.ref or p.id for p in after.person(ident).root.points}
        for cell in after.allowed(ident):
            for bans in banned:
                assert bans.get(_place(cell, addresses), set()) <= cited, (ident, cell)
            assert not any(_speaks_of(no, cell) for no in nos), (ident, cell)
    assert after.allowed(one) == after.allowed(other), "every alias key is answered as the survivor"


def _speaks_of(no: reference.Plain, cell: Cell) -> bool:
    """Wherever the person is addressed."""
    plainly = plain_cell(cell)
    about = set(reference.needed(plainly)) & set(no["purposes"])
    return bool(about) and reference.in_scope(no, plainly) and cell.channel in no["channels"]


def _place(cell: Cell, addresses: dict[UUID, bytes | UUID]) -> Place:
    return (cell.company, addresses[cell.point], cell.channel, cell.purpose, cell.partner, cell.mode)


def order_and_repeats_change_nothing(world: ModelWorld, shuffled: ModelWorld) -> None:
    assert shuffled.everything_allowed() == world.everything_allowed()
    for customer in world.customers:
        ordered = evaluate(world.person(customer.id), world.decisions, GROUP, RULES)
        assert evaluate(shuffled.person(customer.id), shuffled.decisions, GROUP, RULES) == ordered
