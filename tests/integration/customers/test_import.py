"""Rows of an import: each with its outcome, none stopping another, sent again without effect."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.customers.use_cases import import_rows as importing
from services.customers.use_cases.context import Context
from services.customers.use_cases.import_rows import import_rows
from services.customers.use_cases.register import Outcome
from tests.integration.customers.conftest import Register

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
    context: Context, rows: Rows, company: str = "kauppa", scope: str | None = None
) -> list[Outcome]:
    async def lines() -> AsyncIterator[tuple[int, bytes | None]]:
        for number, row in enumerate(rows, 1):
            yield number, json.dumps(row).encode() if isinstance(row, dict) else row

    outcomes: list[Outcome] = []
    async for report in import_rows(context, company, scope, lines()):
        assert [row for row, _ in report] == list(range(len(outcomes) + 1, len(outcomes) + len(report) + 1))
        outcomes += [outcome for _, outcome in report]
    assert len(outcomes) == len(rows)
    return outcomes


def statuses(outcomes: list[Outcome]) -> Counter[str]:
    return Counter(o.status for o in outcomes)


async def test_a_bad_row_stops_no_other(context: Context) -> None:
    rows: Rows = [
        person(1),
        b"{",
        None,
        person(2) | {"points": [{"kind": "phone", "value": "1"}]},
        person(3) | {"identity_code": "131052-308U", "birth_date": "2090-01-01"},
        person(4) | {"same_as": {"company": "kauppa", "number": "nobody"}},
        person(5) | {"recipient": "contact", "organisation": {"company": "kauppa", "number": "nobody"}},
        person(6),
    ]
    outcomes = await take_in(context, rows)
    assert [o.status for o in outcomes] == ["created", *["refused"] * 6, "created"]
    assert [[p.field for p in o.problems] for o in outcomes[1:7]] == [
        ["body"], ["row"], ["points.0.value"], ["birth_date", "identity_code"], ["same_as"], ["organisation"],
    ]  # fmt: skip
    assert await context.pool.fetchval("SELECT count(*) FROM customers") == 2


async def test_sent_again_nothing_changes_and_nothing_is_published(
    context: Context, people: Register
) -> None:
    rows: Rows = [person(i) for i in range(1200)]
    assert statuses(await take_in(context, rows)) == {"created": 1200}
    assert len(await people.lanes()) == 2400
    assert statuses(await take_in(context, rows)) == {"unchanged": 1200}
    assert await people.lanes() == []
    changed: Rows = [person(i) | ({"name": "New"} if i % 100 == 0 else {}) for i in range(1200)]
    assert statuses(await take_in(context, changed)) == {"unchanged": 1188, "changed": 12}


async def test_an_import_that_broke_off_is_sent_again(
    context: Context, monkeypatch: pytest.MonkeyPatch
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
        async for report in import_rows(context, "kauppa", None, broken()):
            reported += len(report)

    with pytest.raises(ConnectionError):
        await import_it()
    assert reported
    assert await context.pool.fetchval("SELECT count(*) FROM customers") == reported
    outcomes = await take_in(context, rows)
    assert statuses(outcomes) == {"unchanged": reported, "created": 50 - reported}


async def test_one_person_in_three_rows_of_one_batch(context: Context, people: Register) -> None:
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


async def test_a_company_cannot_attach_itself_to_anothers_customer(context: Context) -> None:
    await take_in(context, [person(1)], "kauppa")
    row = person(7) | {"same_as": {"company": "kauppa", "number": "N1"}}
    (refused,) = await take_in(context, [row], "sahko", scope="sahko")
    assert [p.field for p in refused.problems] == ["same_as.company"]
    (joined,) = await take_in(context, [row], "sahko", scope=None)
    assert joined.status == "changed"


async def test_what_restricts_leads_the_way_out_of_an_import(context: Context, people: Register) -> None:
    rows: Rows = [person(i) for i in range(20)]
    await take_in(context, rows)
    await people.lanes()
    await take_in(context, [person(i) | {"deceased": i == 7, "name": "New"} for i in range(20)])
    lanes = await people.lanes()
    assert [lane for family, lane in lanes if family == "customers"] == ["express"]
    assert len(lanes) == 21


async def test_two_imports_of_one_file_at_once(context: Context) -> None:
    rows: Rows = [person(i) for i in range(700)]
    first, second = await asyncio.gather(take_in(context, rows), take_in(context, rows[::-1]))
    assert statuses(first + second) == {"created": 700, "unchanged": 700}
    assert await context.pool.fetchval("SELECT count(*) FROM customers") == 700
