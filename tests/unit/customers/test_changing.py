"""Applying what was said: who may take back what, and what an old import cannot undo."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kielto.events.words import Recipient
from services.customers.model.changing import is_minor
from services.customers.model.customer import GROUP, RegisteredCustomer
from services.customers.model.draft import Draft
from services.customers.model.entitlement import seen_by
from services.customers.model.problems import CustomerRefusedError
from services.customers.model.publishing import restricts
from tests.unit.customers.world import NEW, after, fields_of, row, said

EMAIL: dict[str, Any] = {"kind": "email", "value": "a@example.com"}
OTHER: dict[str, Any] = {"kind": "email", "value": "b@example.com"}
POST: dict[str, Any] = {
    "kind": "post",
    "address": {"street": "Katu 1", "postal_code": "00100", "city": "Turku"},
}


def sale(seller: str = "kauppa", group: str = "groceries") -> dict[str, Any]:
    return {"seller": seller, "date": "2026-01-02", "product_group": group, "ban_offered": True}


def imported(old: RegisteredCustomer, company: str = "kauppa", **fields: Any) -> RegisteredCustomer:
    return after(old, row(company, **fields), company, importing=True)


def values(customer: RegisteredCustomer) -> list[str]:
    return [p.value for p in customer.points]


def test_what_is_not_said_stays_and_null_clears() -> None:
    known = after(NEW, said(name="A", language="fi"))
    assert seen_by(after(known, said(language=None)), None).name == "A"
    assert seen_by(after(known, said(name=None)), None).name is None
    assert after(known, said(name="A")) == known


def test_each_field_has_its_source() -> None:
    known = imported(after(NEW, said(name="A", language="fi")), "sahko", name="B")
    told = {f: source for f, source, _ in seen_by(known, None).sources}
    assert told == {"recipient": "group", "name": "group", "language": "group"}
    assert known.facts["sahko"].name == "B"
    assert known.facts["sahko"].at.keys() == {"name"}


def test_one_company_does_not_take_away_what_another_knows() -> None:
    known = imported(imported(NEW, points=[EMAIL, OTHER]), "sahko", points=[EMAIL])
    assert values(known) == ["a@example.com", "b@example.com"]
    known = imported(known, points=[])
    assert values(known) == ["a@example.com"]
    assert values(imported(known, "sahko", points=[])) == []


def test_the_groups_list_is_final() -> None:
    known = imported(imported(NEW, points=[EMAIL, OTHER]), "sahko", points=[EMAIL])
    assert values(after(known, said(points=[OTHER]))) == ["b@example.com"]


def test_a_company_states_its_own_sales_only() -> None:
    known = imported(NEW, points=[EMAIL | {"sales": [sale()]}])
    known = imported(known, "sahko", points=[EMAIL | {"sales": [sale("sahko", "solar")]}])
    assert [s.seller for s in known.points[0].sales] == ["kauppa", "sahko"]
    known = imported(known, points=[EMAIL | {"sales": []}])
    assert [s.seller for s in known.points[0].sales] == ["sahko"]
    assert imported(known, points=[EMAIL]).points == known.points
    assert imported(known, points=[]).points[0].statements.keys() == {"sahko"}


def test_a_point_keeps_its_id_when_it_is_stated_again() -> None:
    known = imported(NEW, points=[EMAIL])
    assert imported(known, points=[OTHER, EMAIL]).points[0].id == known.points[0].id


@pytest.mark.parametrize("fact", ["deceased", "safety_ban"])
def test_an_import_never_takes_back_a_restricting_fact(fact: str) -> None:
    yes: dict[str, Any] = {fact: True}
    no: dict[str, Any] = {fact: False}
    known = imported(NEW, **yes)
    assert getattr(imported(known, **no), fact)
    assert not getattr(after(known, said("kauppa", **no), "kauppa"), fact)
    assert getattr(after(known, said("sahko", **no), "sahko"), fact), "another company's word changes nothing"
    with pytest.raises(CustomerRefusedError) as error:
        after(known, said(**no))
    assert fields_of(error.value) == ["reason"]
    freed = after(known, said(reason="mixed up", **no))
    assert not getattr(freed, fact)
    (kept,) = freed.facts["group"].taken_back
    assert (kept.field, kept.stated_by, kept.reason) == (fact, ("kauppa",), "mixed up")


RESTRICTING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "deceased": ({"deceased": True}, {"deceased": False}),
    "safety_ban": ({"safety_ban": True}, {"safety_ban": False}),
    "minor": ({"birth_date": "2015-01-01"}, {"birth_date": "1990-01-01"}),
}


@pytest.mark.parametrize("order", [("kauppa", "sahko", None), ("sahko", "kauppa", None)])
@pytest.mark.parametrize("fact", RESTRICTING)
def test_a_restricting_fact_holds_until_the_last_source_takes_back_its_own(
    fact: str, order: tuple[str | None, ...]
) -> None:
    yes, no = RESTRICTING[fact]
    known = NEW
    for source in ("kauppa", "sahko", None):
        known = after(known, said(source, **yes), source)
    for source in order[:-1]:
        known = after(known, said(source, **no), source)
        assert getattr(known, fact), "another source states it"
        assert not getattr(known.stated_by(source or GROUP), fact)
    freed = after(known, said(order[-1], **no), order[-1])
    assert not getattr(freed, fact)
    for source in ("kauppa", "sahko"):
        assert getattr(after(freed, said(source, **yes), source), fact), "it may be said again"


@pytest.mark.parametrize("fact", RESTRICTING)
def test_the_group_takes_back_what_all_companies_state_with_one_reason_and_no_company_anothers(
    fact: str,
) -> None:
    yes, no = RESTRICTING[fact]
    known = after(after(NEW, said("kauppa", **yes), "kauppa"), said("sahko", **yes), "sahko")
    assert getattr(after(known, said("sahko", **no), "sahko"), fact)
    freed = after(known, said(reason="mixed up", **no))
    assert not getattr(freed, fact)
    (kept,) = freed.stated_by(GROUP).taken_back
    assert (kept.field, kept.stated_by) == (fact, ("kauppa", "sahko"))
    groups = after(NEW, said(**yes))
    for source in ("kauppa", "sahko"):
        assert getattr(after(groups, said(source, **no), source), fact), "the group states it"


def test_an_import_does_not_change_what_someone_is() -> None:
    known = imported(NEW, name="A")
    with pytest.raises(CustomerRefusedError) as error:
        imported(known, recipient="legal")
    assert fields_of(error.value) == ["recipient"]
    changed = after(known, said("kauppa", recipient="legal"), "kauppa")
    assert seen_by(changed, "kauppa").recipient is Recipient.LEGAL
    assert seen_by(changed, "sahko").recipient is None


@pytest.mark.parametrize("again", [{}, {"ended": None}, {"since": "2026-01-01", "ended": None}])
def test_an_old_file_does_not_reopen_a_customership(again: dict[str, Any]) -> None:
    ended = imported(NEW, since="2026-01-01", ended="2026-03-01")
    assert not imported(ended, **again).customerships[0].active


def test_a_customership_begins_again_after_its_end() -> None:
    ended = imported(NEW, since="2026-01-01", ended="2026-03-01")
    for again in ({"since": "2026-04-01"}, {"since": "2026-04-01", "ended": None}):
        assert imported(ended, **again).customerships[0].active
    opened = [{"company": "kauppa", "number": "1", "ended": None}]
    assert after(ended, said("kauppa", customerships=opened), "kauppa").customerships[0].active
    with pytest.raises(CustomerRefusedError) as error:
        after(ended, said(customerships=opened))
    assert fields_of(error.value) == ["reason"]
    assert after(ended, said(customerships=opened, reason="by mistake")).customerships[0].active


def test_what_the_group_ended_no_company_reopens() -> None:
    known = imported(NEW, since="2026-01-01")
    number = {"company": "kauppa", "number": "1"}
    ended = after(known, said(customerships=[number | {"ended": "2026-03-01"}]))
    assert not imported(ended, since="2026-04-01").customerships[0].active
    with pytest.raises(CustomerRefusedError) as error:
        after(ended, said("kauppa", customerships=[number | {"ended": None}]), "kauppa")
    assert fields_of(error.value) == ["customerships"]
    assert after(ended, said(customerships=[number | {"ended": None}])).customerships[0].active


def test_an_address_under_a_safety_ban_is_not_lost_by_a_list_that_cannot_show_it() -> None:
    known = after(NEW, said(points=[EMAIL, POST], safety_ban=True))
    assert len(after(known, said(points=[EMAIL])).points) == 2
    moved = POST | {"address": {"street": "Toinen 2", "postal_code": "20100", "city": "Turku"}}
    (point,) = after(known, said(points=[moved])).points
    assert point.value.startswith("Toinen 2")


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"recipient": "contact"}, ["organisation"]),
        ({"duties": [{"product_group": "solar", "evidence": "x"}]}, ["duties"]),
        ({"recipient": "legal", "birth_date": "1990-01-01"}, ["birth_date"]),
        ({"recipient": "legal", "deceased": True}, ["deceased"]),
        ({"recipient": "user", "business_id": "2077474-0"}, ["business_id"]),
    ],
)
def test_each_kind_of_recipient_has_its_fields(fields: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(CustomerRefusedError) as error:
        after(NEW, said(**fields))
    assert fields_of(error.value) == names


def test_an_identity_code_is_kept_of_natural_people_only() -> None:
    draft = said(recipient="user", identity_code="131052-308T")
    with pytest.raises(CustomerRefusedError) as error:
        after(NEW, draft, identity=b"blind")
    assert fields_of(error.value) == ["identity_code"]


def test_nobody_is_their_own_organisation() -> None:
    with pytest.raises(CustomerRefusedError) as error:
        after(NEW, said(recipient="contact", organisation=str(NEW.id)), organisation=NEW.id)
    assert fields_of(error.value) == ["organisation"]


def test_the_identity_code_gives_the_birth_date() -> None:
    known = after(NEW, said(identity_code="131052-308T"), identity=b"blind")
    assert known.facts["group"].birth_date == date(1952, 10, 13)
    assert known.identities == {b"blind"}


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.dates(date(1950, 1, 1), date(2120, 1, 1)))
def test_a_minor_is_one_until_the_birthday(birth: date, today: date) -> None:
    try:
        birthday = birth.replace(year=birth.year + 18)
    except ValueError:
        birthday = date(birth.year + 18, 3, 1)
    assert is_minor(birth, today, 18) == (today < birthday)


_POINTS = st.lists(
    st.sampled_from([EMAIL, OTHER, POST, EMAIL | {"sales": [sale()]}, EMAIL | {"role_address": True}]),
    max_size=3,
    unique_by=str,
)
_WORDS = st.fixed_dictionaries(
    {},
    optional={
        "points": _POINTS,
        "deceased": st.booleans(),
        "safety_ban": st.booleans(),
        "birth_date": st.sampled_from(["2015-01-01", "1990-01-01", None]),
        "name": st.sampled_from(["A", "B"]),
        "customerships": st.lists(
            st.fixed_dictionaries(
                {"company": st.just("kauppa"), "number": st.sampled_from("12")},
                optional={"ended": st.sampled_from([None, "2026-02-01"])},
            ),
            max_size=2,
            unique_by=lambda c: c["number"],
        ),
    },
)


def grounds(customer: RegisteredCustomer) -> set[object]:
    """Everything by which something may be allowed, written without a look at `restricts`."""
    if customer.deceased or customer.minor or customer.safety_ban:
        return set()
    addresses = {(p.id, p.of_a_task("kauppa"), s) for p in customer.points for s in (None, *p.sales)}
    numbers = {c.canonical for c in customer.customerships if c.ended is None}
    return addresses | numbers


@given(st.lists(_WORDS, min_size=1, max_size=6))
def test_whatever_loses_a_ground_restricts(words: list[dict[str, Any]]) -> None:
    known = NEW
    for draft in (said(**w) for w in words):
        changed = after(known, draft)
        if grounds(known) - grounds(changed):
            assert restricts(known, changed)
        if changed.safety_ban == known.safety_ban:  # a ban that is lifted shows what was hidden
            assert after(changed, draft) == changed
        known = changed


def test_a_draft_that_says_nothing_changes_nothing() -> None:
    known = after(NEW, said(name="A", points=[EMAIL]))
    assert after(known, Draft()) == known
    assert not restricts(known, known)
    assert UUID(int=1) == known.id
