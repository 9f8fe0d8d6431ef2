"""Whatever one company says of a customer, another one sees nothing of it and loses nothing by it; and what it is
answered does not depend on what the other one states.
"""

from dataclasses import replace
from itertools import count
from typing import Any
from uuid import UUID

from hypothesis import assume, given
from hypothesis import strategies as st

from services.customers.model import entitlement
from services.customers.model.changing import Meant, apply
from services.customers.model.customer import GROUP, Customership, RegisteredCustomer
from services.customers.model.draft import Speaker
from services.customers.model.entitlement import SeenCustomer, seen_by
from services.customers.model.problems import CustomerRefusedError
from services.customers.model.publishing import entitled, record
from tests.unit.customers.test_changing import EMAIL, OTHER, POST
from tests.unit.customers.test_publishing import PlainKeys
from tests.unit.customers.world import MOMENT, NEW, said

COMPANIES = ("kauppa", "sahko")
JOINED = replace(NEW, customerships=tuple(Customership(c, "1", f"{c}:1") for c in COMPANIES))
"""One customer of both: the group joined them."""
_IDS = count(1000)

_POINTS = st.lists(
    st.sampled_from([EMAIL, OTHER, EMAIL | {"role_address": True}, POST]), max_size=3, unique_by=str
)
_WORDS: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["A", "B", None]),
    "language": st.sampled_from(["fi", "sv", None]),
    "recipient": st.sampled_from(["natural", "legal", "user", None]),
    "birth_date": st.sampled_from(["2015-01-01", "1990-01-01", None]),
    "business_id": st.sampled_from(["2077474-0", None]),
    "deceased": st.booleans(),
    "safety_ban": st.booleans(),
    "identity_code": st.sampled_from(["131052-308T", None]),
    "points": _POINTS,
}
_COMPANYS = st.fixed_dictionaries({}, optional=_WORDS)
_GROUPS = st.fixed_dictionaries(
    {"reason": st.just("because")},
    optional=_WORDS | {"points": st.lists(st.sampled_from([EMAIL, OTHER]), max_size=2, unique_by=str)},
)
_STATEMENTS = st.lists(
    st.tuples(st.sampled_from(COMPANIES), _COMPANYS) | st.tuples(st.none(), _GROUPS), max_size=6
)


def spoken(old: RegisteredCustomer, company: str | None, words: dict[str, Any]) -> RegisteredCustomer:
    draft = said(company, **words)
    meant = Meant(identity=b"code" if draft.identity_code else None)
    return apply(old, draft, Speaker(company), MOMENT, new_id=lambda: UUID(int=next(_IDS)), meant=meant)


def register(statements: list[tuple[str | None, dict[str, Any]]]) -> RegisteredCustomer:
    customer = JOINED
    for company, words in statements:
        try:
            customer = spoken(customer, company, words)
        except CustomerRefusedError:
            continue
    return customer


def without(customer: RegisteredCustomer, company: str) -> RegisteredCustomer:
    """As it would be, had `company` never said a word."""
    points = (
        replace(p, statements={s: c for s, c in p.statements.items() if s != company})
        for p in customer.points
    )
    return replace(
        customer,
        facts={s: f for s, f in customer.facts.items() if s != company},
        points=tuple(p for p in points if p.statements),
        customerships=tuple(c for c in customer.customerships if c.company != company),
        former=frozenset(),
    )


def told(seen: SeenCustomer) -> SeenCustomer:
    """Ids of points are opaque to a company (`Keys.pairwise`)."""
    return replace(seen, points=tuple(replace(p, id=NEW.id) for p in seen.points))


@given(_STATEMENTS, _COMPANYS)
def test_nobody_else_sees_what_a_company_says(
    statements: list[tuple[str | None, dict[str, Any]]], words: dict[str, Any]
) -> None:
    before = register(statements)
    try:
        after = spoken(before, "kauppa", words)
    except CustomerRefusedError:
        return
    assert seen_by(after, "sahko") == seen_by(before, "sahko")
    assert entitled(after, "sahko", PlainKeys()) == entitled(before, "sahko", PlainKeys())
    numbers = {GROUP: 7, "kauppa": 7, "sahko": 7}
    assert entitlement.revisions(before, after, numbers)["sahko"] == 7


@given(_STATEMENTS, _COMPANYS)
def test_an_answer_does_not_depend_on_what_others_say(
    statements: list[tuple[str | None, dict[str, Any]]], words: dict[str, Any]
) -> None:
    full = register(statements)
    alone = without(full, "sahko")
    assert told(seen_by(full, "kauppa")) == told(seen_by(alone, "kauppa"))
    answers: list[object] = []
    for customer in (full, alone):
        try:
            after = spoken(customer, "kauppa", words)
        except CustomerRefusedError as refused:
            answers.append(refused.problems)
        else:
            answers.append((after == customer, told(seen_by(after, "kauppa"))))
    assert answers[0] == answers[1]


@given(_STATEMENTS, _COMPANYS)
def test_nothing_is_loosened_for_others(
    statements: list[tuple[str | None, dict[str, Any]]], words: dict[str, Any]
) -> None:
    """Of the record for our own services: what counts at sahko is the same, and what restricts all only grows, but for
    what kauppa takes back of its own.
    """
    before = register(statements)
    try:
        after = spoken(before, "kauppa", words)
    except CustomerRefusedError:
        return
    old, new = (record(x, PlainKeys()) for x in (before, after))
    others = without(before, "kauppa")
    for flag in ("deceased", "minor", "safety_ban"):
        assert getattr(new, flag) or not getattr(others, flag)
    for asked in (entitlement.recipient_in, entitlement.organisation_in, entitlement.duties_in):
        assert asked(before, "sahko") == asked(after, "sahko")

    def at_sahko(told: Any) -> set[object]:
        return {
            (p.id, p.role_address or "sahko" in p.role_address_in)
            for p in told.points
            if not p.holders or "sahko" in p.holders
        }

    assert at_sahko(old) == at_sahko(new)


@given(st.lists(st.tuples(st.sampled_from(COMPANIES), _COMPANYS), max_size=6))
def test_a_former_customer_is_a_number(statements: list[tuple[str | None, dict[str, Any]]]) -> None:
    customer = register(statements)
    assume(customer.facts)
    ended = replace(
        customer,
        customerships=tuple(
            replace(c, ended=MOMENT.today) if c.company == "kauppa" else c for c in customer.customerships
        ),
    )
    assert seen_by(ended, "kauppa") == SeenCustomer(ended.id, customerships=ended.customerships[:1])


def test_an_address_of_the_group_is_hidden_under_any_safety_ban() -> None:
    """A company's own stays: hidden, it would tell of another company's ban, and it has the address anyway."""
    customer = spoken(spoken(JOINED, None, {"points": [POST]}), "kauppa", {"points": [EMAIL]})
    hidden = spoken(customer, "sahko", {"safety_ban": True})
    assert [p.kind for p in seen_by(hidden, "kauppa").points] == ["email"]
    own = spoken(spoken(JOINED, "kauppa", {"points": [POST]}), "sahko", {"safety_ban": True})
    assert [p.value for p in seen_by(own, "kauppa").points] == [p.value for p in own.points]
    assert not seen_by(own, "kauppa").safety_ban
