"""Rows of an import: each with its outcome, none stopping another, sent again without effect."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.customers.use_cases import import_rows as importing
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.erase import erase
from services.customers.use_cases.import_rows import Import, import_rows
from services.customers.use_cases.merge import merge
from services.customers.use_cases.read import NoSuchCustomerError, read_unreadable
from services.customers.use_cases.register import RegistrationOutcome
from tests.integration.customers.conftest import CustomersRegister

Rows = list[dict[str, Any] | bytes | None]


def person(i: int) -> dict[str, Any]:
    return {
        "number": f"N{i}",
        "name": f"Person {i}",
        "points": [
            {"kind": "phone", "value": f"0401{i:06d}"},
            {"kind": "email", "value": f"p{i}@example.com"},
        ],
    }


async def take_in(
    context: CustomersContext, rows: Rows, company: str = "kauppa", scope: str | None = None, **options: Any
) -> list[RegistrationOutcome]:
    async def lines() -> AsyncIterator[tuple[int, bytes | None]]:
        for number, row in enumerate(rows, 1):
            yield number, json.dumps(row).encode() if isinstance(row, dict) else row

    outcomes: list[RegistrationOutcome] = []
    async for report in import_rows(context, Import(company, scope, **options), lines()):
        assert [row for row, _ in report] == list(range(len(outcomes) + 1, len(outcomes) + len(report) + 1))
        outcomes += [outcome for _, outcome in report]
    assert len(outcomes) == len(rows)
    return outcomes


def statuses(outcomes: list[RegistrationOutcome]) -> Counter[str]:
    return Counter(o.status for o in outcomes)


async def test_a_bad_row_stops_no_other(context: CustomersContext) -> None:
    rows: Rows = [
        person(1),
        b"{",
        None,
        person(2) | {"points": [{"kind": "telex", "value": "1"}]},
        person(3) | {"identity_code": "131052-308U", "birth_date": "2090-01-01"},
        person(4) | {"same_as": {"company": "kauppa", "number": "nobody"}},
        person(5) | {"recipient": "contact", "organisation": {"company": "kauppa", "number": "nobody"}},
        person(6),
    ]
    outcomes = await take_in(context, rows)
    assert [o.status for o in outcomes] == ["created", *["refused"] * 6, "created"]
    assert [[p.field for p in o.problems] for o in outcomes[1:7]] == [
        ["body"], ["row"], ["points.0.kind"], ["birth_date", "identity_code"], ["same_as"], ["organisation"],
    ]  # fmt: skip
    assert await context.pool.fetchval("SELECT count(*) FROM customers") == 2


async def test_sent_again_nothing_changes_and_nothing_is_published(
    context: CustomersContext, people: CustomersRegister
) -> None:
    rows: Rows = [person(i) for i in range(1200)]
    assert statuses(await take_in(context, rows)) == {"created": 1200}
    assert len(await people.lanes()) == 2400
    assert statuses(await take_in(context, rows)) == {"unchanged": 1200}
    assert await people.lanes() == []
    changed: Rows = [person(i) | ({"name": "New"} if i % 100 == 0 else {}) for i in range(1200)]
    assert statuses(await take_in(context, changed)) == {"unchanged": 1188, "changed": 12}


async def test_an_import_that_broke_off_is_sent_again(
    context: CustomersContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_BATCH_ROWS", 10)
    rows: Rows = [person(i) for i in range(50)]

    async def broken() -> AsyncIterator[tuple[int, bytes | None]]:
        for number, row in enumerate(rows, 1):
            if number == 36:
                raise ConnectionError
            yield number, json.dumps(row).encode()

    reported = 0

    async def import_it() -> None:
        nonlocal reported
        async for report in import_rows(context, Import("kauppa"), broken()):
            reported += len(report)

    with pytest.raises(ConnectionError):
        await import_it()
    assert reported
    assert await context.pool.fetchval("SELECT count(*) FROM customers") == reported
    outcomes = await take_in(context, rows)
    assert statuses(outcomes) == {"unchanged": reported, "created": 50 - reported}


async def test_one_person_in_three_rows_of_one_batch(
    context: CustomersContext, people: CustomersRegister
) -> None:
    rows: Rows = [
        person(1) | {"identity_code": "131052-308T"},
        person(2) | {"identity_code": "131052-308T", "name": "person 1"},
        person(3) | {"same_as": {"company": "kauppa", "number": "n1"}},
        person(1),
    ]
    outcomes = await take_in(context, rows)
    assert [o.status for o in outcomes] == ["created", "changed", "changed", "changed"]
    assert len({o.id for o in outcomes}) == 1
    (record,) = (await people.published("customers")).values()
    assert len(record["customerships"]) == 3


async def test_a_company_cannot_attach_itself_to_anothers_customer(context: CustomersContext) -> None:
    await take_in(context, [person(1)], "kauppa")
    row = person(7) | {"same_as": {"company": "kauppa", "number": "N1"}}
    (refused,) = await take_in(context, [row], "sahko", scope="sahko")
    assert [p.field for p in refused.problems] == ["same_as.company"]
    (joined,) = await take_in(context, [row], "sahko", scope=None)
    assert joined.status == "changed"


async def test_what_restricts_leads_the_way_out_of_an_import(
    context: CustomersContext, people: CustomersRegister
) -> None:
    rows: Rows = [person(i) for i in range(20)]
    await take_in(context, rows)
    await people.lanes()
    await take_in(context, [person(i) | {"deceased": i == 7, "name": "New"} for i in range(20)])
    lanes = await people.lanes()
    assert [lane for family, lane in lanes if family == "customers"] == ["express"]
    assert len(lanes) == 21


async def test_two_imports_of_one_file_at_once(context: CustomersContext) -> None:
    rows: Rows = [person(i) for i in range(700)]
    first, second = await asyncio.gather(take_in(context, rows), take_in(context, rows[::-1]))
    assert statuses(first + second) == {"created": 700, "unchanged": 700}
    assert await context.pool.fetchval("SELECT count(*) FROM customers") == 700


def points(*given: tuple[str, Any]) -> dict[str, Any]:
    return {
        "points": [{"kind": kind, "address" if kind == "post" else "value": value} for kind, value in given]
    }


def address(**fields: str) -> dict[str, str]:
    return {"street": "Street 1", "city": "Town", **fields}


async def kept(
    context: CustomersContext, outcome: RegistrationOutcome, scope: str | None = None
) -> list[tuple[str, str, Any]]:
    assert outcome.id is not None
    found = await read_unreadable(context, outcome.id, scope)
    return [(k.kind.value, k.source, json.loads(k.value)) for k in found]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (("phone", "0405550002 Eva"), "points.1.value"),
        (("phone", "0405550002;0507654321"), "points.1.value"),
        (("phone", 405550002), "points.1.value"),
        (("phone", "07911 123456"), "points.1.value"),  # British; in Finland nobody's
        (("email", "eva"), "points.1.value"),
        (("email", "eva@example.com, aino@example.com"), "points.1.value"),
        (("post", address(postal_code="94043-1351")), "points.1.address.postal_code"),
        (("post", address(postal_code="SW1A 1AA")), "points.1.address.postal_code"),
        (("post", address(postal_code="1", country="FI")), "points.1.address.postal_code"),
        (("post", address(postal_code="x" * 17)), "points.1.address.postal_code"),
        (("post", {"street": "Street 1"}), "points.1.address.city"),
    ],
)
async def test_a_contact_point_that_cannot_be_read_is_kept_and_the_row_is_taken(
    context: CustomersContext, people: CustomersRegister, given: tuple[str, Any], field: str
) -> None:
    row = {"number": "N1", **points(("email", "aino@example.com"), given, ("phone", "040 1234567"))}
    (outcome,) = await take_in(context, [row])
    assert (outcome.status, [w.field for w in outcome.warnings]) == ("created", [field])
    (record,) = (await people.published("customers")).values()
    assert len(record["points"]) == 2
    assert (
        await kept(context, outcome)
        == await kept(context, outcome, "kauppa")
        == [(given[0], "kauppa", given[1])]
    )
    (again,) = await take_in(context, [row])
    assert (again.status, again.warnings) == ("unchanged", outcome.warnings)
    assert len(await kept(context, outcome)) == 1
    encrypted = await context.pool.fetchval("SELECT value FROM unreadable_values")
    assert b"Eva" not in encrypted
    assert b"Street" not in encrypted
    await take_in(context, [{"number": "N1", "name": "Aino"}])
    assert len(await kept(context, outcome)) == 1, "a row without points says nothing of them"
    await take_in(context, [{"number": "N1", **points(("email", "aino@example.com"))}])
    assert await kept(context, outcome) == []


async def test_a_national_number_is_read_by_the_rows_country_then_the_imports(
    context: CustomersContext,
) -> None:
    national = points(("phone", "07911 123456"))
    rows: Rows = [{"number": "N1", **national}, {"number": "N2", "country": "GB", **national}]
    first, second = await take_in(context, rows)
    assert [len(o.warnings) for o in (first, second)] == [1, 0]
    first, second = await take_in(context, rows, country="GB")
    assert [len(o.warnings) for o in (first, second)] == [0, 0]
    abroad = points(("phone", "07911 123456"), ("post", address(country="GB", postal_code="SW1A 1AA")))
    possible = points(("phone", "+3587911123456"))
    third, fourth = await take_in(context, [{"number": "N3", **abroad}, {"number": "N4", **possible}])
    assert not third.warnings
    assert not fourth.warnings, "a number that names its country need only be possible"
    (fifth,) = await take_in(
        context, [{"number": "N5", **points(("post", address(postal_code="SW1A 1AA")))}], country="GB"
    )
    assert not fifth.warnings


async def test_what_one_company_gave_another_neither_sees_nor_replaces(context: CustomersContext) -> None:
    row = {"number": "N1", **points(("phone", "secret Eva"))}
    (outcome,) = await take_in(context, [row], "kauppa")
    same = {"same_as": {"company": "kauppa", "number": "N1"}, **points(("phone", "other Eva"))}
    (joined,) = await take_in(context, [row | same], "sahko")
    assert outcome.id == joined.id
    assert await kept(context, outcome, "kauppa") == [("phone", "kauppa", "secret Eva")]
    assert await kept(context, outcome, "sahko") == [("phone", "sahko", "other Eva")]
    with pytest.raises(NoSuchCustomerError):
        await kept(context, outcome, "liittyma")
    await take_in(context, [row | {"ended": "2026-01-01"}], "kauppa")
    assert await kept(context, outcome, "kauppa") == []
    assert len(await kept(context, outcome)) == 2


async def test_what_cannot_be_read_goes_with_the_customer(context: CustomersContext) -> None:
    rows: Rows = [{"number": f"N{i}", **points(("phone", f"Eva {i}"))} for i in (1, 2)]
    one, two = await take_in(context, rows)
    assert one.id
    assert two.id
    await merge(context, one.id, two.id)
    assert sorted(v for _, _, v in await kept(context, two)) == ["Eva 1", "Eva 2"]
    await erase(context, two.id)
    assert await context.pool.fetchval("SELECT count(*) FROM unreadable_values") == 0


async def test_an_address_that_cannot_be_read_is_hidden_under_a_safety_ban(context: CustomersContext) -> None:
    row = {"number": "N1", "safety_ban": True, **points(("post", address(postal_code="1")))}
    (outcome,) = await take_in(context, [row])
    assert await kept(context, outcome) == []


async def test_a_dry_run_reports_the_same_and_changes_nothing(
    context: CustomersContext, people: CustomersRegister
) -> None:
    await take_in(context, [person(1), person(2)])
    await people.lanes()
    rows: Rows = [
        person(1),
        person(2) | {"deceased": True},
        person(3) | points(("phone", "Eva")),
        b"{",
        person(4) | {"same_as": {"company": "kauppa", "number": "nobody"}},
    ]
    counted = "SELECT (SELECT string_agg(id || revisions::text, ',' ORDER BY id) FROM customers), count(*) FROM marks"
    before = await context.pool.fetchrow(counted)
    dry = await take_in(context, rows, dry_run=True)
    assert await context.pool.fetchrow(counted) == before
    assert await context.pool.fetchval("SELECT count(*) FROM unreadable_values") == 0
    assert await people.lanes() == []
    real = await take_in(context, rows)
    said = [[(o.status, o.problems, o.warnings) for o in outcomes] for outcomes in (dry, real)]
    assert said[0] == said[1]
    assert [o.status for o in real] == ["unchanged", "changed", "created", "refused", "refused"]
    assert dry[2].id is None, "there is no such customer"


async def test_a_row_that_names_a_field_twice_is_refused(context: CustomersContext) -> None:
    lines: Rows = [
        b'{"number":"D2","deceased":true,"deceased":false}',
        b'{"number":"D3","points":[{"kind":"email","kind":"phone","value":"a@example.com"}]}',
        b'{"number":"D4","aino@example.com":1,"aino@example.com":2}',
        b'{"number":"D5"}',
    ]
    outcomes = await take_in(context, lines)
    assert [[tuple(p) for p in o.problems] for o in outcomes] == [
        [(name, "must be given only once in an object")] for name in ("deceased", "kind", "?")
    ] + [[]]
