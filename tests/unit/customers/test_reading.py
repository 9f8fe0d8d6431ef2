"""What was given, read: every wrong field is named with its rule, and no value is repeated."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.customers.model.given import GivenRow
from services.customers.model.problems import CustomerRefusedError, problems_of
from tests.unit.customers.world import fields_of, row, said

SALE = {"seller": "kauppa", "date": "2026-01-02", "product_group": "groceries"}
POST: dict[str, Any] = {
    "kind": "post",
    "address": {"street": "Katu 1", "postal_code": "00100", "city": "Turku"},
}
SECRET = "very-secret-value"


def point(**fields: Any) -> dict[str, Any]:
    return {"kind": "email", "value": "a@example.com", **fields}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"points": [point(value=SECRET)]}, ["points.0.value"]),
        ({"points": [point(kind="phone", value=SECRET)]}, ["points.0.value"]),
        ({"points": [point(), point(kind="post")]}, ["points.1"]),
        ({"points": [POST | {"value": SECRET}]}, ["points.0"]),
        (
            {"points": [POST | {"address": POST["address"] | {"postal_code": "1"}}]},
            ["points.0.address.postal_code"],
        ),
        ({"points": [point(sales=[SALE | {"seller": "nobody"}])]}, ["points.0.sales.0.seller"]),
        ({"points": [point(sales=[SALE | {"product_group": "solar"}])]}, ["points.0.sales.0.product_group"]),
        ({"points": [point(sales=[SALE | {"date": "2026-06-16"}])]}, ["points.0.sales.0.date"]),
        ({"identity_code": "131052-308U"}, ["identity_code"]),
        ({"identity_code": "131052-308T", "birth_date": "1952-10-14"}, ["birth_date"]),
        ({"birth_date": "2026-06-16"}, ["birth_date"]),
        ({"business_id": "1234567-8"}, ["business_id"]),
        ({"business_id": "0000000-0"}, ["business_id"]),
        ({"business_id": "9912345-6"}, ["business_id"]),  # the controller's own
        ({"customerships": [{"company": "kauppa", "number": "000"}]}, ["customerships.0.number"]),
        ({"points": [point(kind="phone", value="0405550002 Eva")]}, ["points.0.value"]),
        ({"customerships": [{"company": "nobody", "number": "1"}]}, ["customerships.0.company"]),
        (
            {
                "customerships": [
                    {"company": "kauppa", "number": "1", "since": "2026-02-02", "ended": "2026-02-01"}
                ]
            },
            ["customerships.0.ended"],
        ),
        (
            {"customerships": [{"company": "kauppa", "number": "1", "since": "2027-01-01"}]},
            ["customerships.0.since"],
        ),
        ({"organisation": {"company": "nobody", "number": "1"}}, ["organisation.company"]),
        ({"duties": [{"product_group": "none", "evidence": "x"}]}, ["duties.0.product_group"]),
        ({"birth_date": "2026-06-16", "business_id": SECRET[:10]}, ["birth_date", "business_id"]),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(CustomerRefusedError) as error:
        said(**fields)
    assert fields_of(error.value) == names
    assert SECRET not in str(error.value)


def test_a_company_speaks_for_itself() -> None:
    with pytest.raises(CustomerRefusedError) as error:
        said("sahko", points=[point(sales=[SALE])], customerships=[{"company": "kauppa", "number": "1"}])
    assert fields_of(error.value) == ["points.0.sales.0.seller", "customerships.0.company"]


def test_only_a_group_wide_caller_names_another_companys_number() -> None:
    other = {"company": "sahko", "number": " 7 a"}
    assert row(same_as=other).same_as == "sahko:7A"
    with pytest.raises(CustomerRefusedError) as error:
        row(scope="kauppa", same_as=other)
    assert fields_of(error.value) == ["same_as.company"]


def test_phones_are_read_by_the_addresss_country_then_the_companys() -> None:
    phone = point(kind="phone", value="070-123 45 67")
    abroad = POST | {"address": {"street": "Gata 1", "city": "Lund", "country": "SE"}}
    assert row(points=[phone, abroad]).points[0].value == "+46701234567"
    assert row("sahko", points=[phone]).points[0].value == "+46701234567"
    assert row("kauppa", points=[phone]).points[0].value == "+358701234567"


def test_the_same_address_twice_is_one_point() -> None:
    draft = said(points=[point(), point(value="A@EXAMPLE.com", role_address=True)])
    assert [(p.value, p.role_address) for p in draft.points] == [("a@example.com", True)]


def test_an_address_is_kept_as_written_and_is_one_point_in_any_case() -> None:
    """Mail goes to what was written: folded, it may be another mailbox."""
    points = [point(value="Straße@Example.de"), point(value=" STRASSE@example.DE "), point(value="İsa@x.tr")]
    assert [p.value for p in said(points=points).points] == ["strasse@example.de", "İsa@x.tr"]


def test_addresses_have_one_spelling() -> None:
    spelt = POST | {"address": {"street": " Katu   1 ", "postal_code": "00100", "city": "turku"}}
    assert said(points=[POST]).points == said(points=[spelt]).points


def shape_problems(line: bytes) -> list[tuple[str, str]]:
    with pytest.raises(ValidationError) as error:
        GivenRow.model_validate_json(line)
    return list(problems_of(error.value))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", ("body", "must be JSON (RFC 8259)")),
        (b"\xff", ("body", "must be JSON (RFC 8259)")),
        (b'{"number":"1","nmae":"x"}', ("nmae", "unknown field")),
        (b'{"number":"1","very-secret-value":"x"}', ("?", "unknown field")),
        (b'{"number":"1","organisation":"very-secret-value"}', ("organisation", "must be a UUID")),
        (b'{"number":"1","birth_date":0}', ("birth_date", "must be a date YYYY-MM-DD")),
        (b'{"number":"1","since":"2026-01-01T00:00:00"}', ("since", "must be a date YYYY-MM-DD")),
    ],
)
def test_a_wrong_shape_is_named(line: bytes, problem: tuple[str, str]) -> None:
    assert problem in shape_problems(line)


@pytest.mark.parametrize(
    "name", ["number", "name", "language", "recipient", "points", "deceased", "birth_date"]
)
def test_a_wrong_value_is_never_repeated(name: str) -> None:
    line = json.dumps({"number": "1", name: f"\n{SECRET}" * 100}).encode()
    (problem,) = shape_problems(line)
    assert problem[0] == name
    assert SECRET not in str(problem)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = st.sampled_from(sorted(GivenRow.model_fields))
_POINT = st.fixed_dictionaries(
    {"kind": st.sampled_from(["email", "phone", "post"]), "value": st.text(max_size=30)},
    optional={"sales": _JSON, "address": _JSON},
)


@given(
    st.dictionaries(_FIELDS, _JSON, max_size=5)
    | st.fixed_dictionaries({"number": st.text(max_size=9), "points": st.lists(_POINT, max_size=3)})
)
def test_any_row_is_read_or_refused(fields: dict[str, Any]) -> None:
    with suppress(CustomerRefusedError, ValidationError):
        row(**fields)
