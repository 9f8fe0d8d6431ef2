"""A company leaves the group and comes back: what is done to its customers meanwhile goes on, and arrives."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from kielto.group import Group
from kielto.service.outbox import parties
from kielto.service.support.crypto_keys import KeyFile, Keys
from services.customers.model.draft import Speaker, Terms
from services.customers.use_cases.come_of_age import come_of_age
from services.customers.use_cases.context import AGAIN, CustomersContext
from services.customers.use_cases.erase import erase
from services.customers.use_cases.merge import merge
from services.customers.use_cases.read import find, read
from services.customers.use_cases.record_changes import publish_next
from services.customers.use_cases.update import end
from tests.integration.customers.conftest import GROUP, CustomersRegister
from tests.integration.customers.test_register import ident

SMALLER = Group(revision=2, controller=GROUP.controller, companies=GROUP.companies[:1])
FAMILY = "company.sahko.customers"


async def _import(context: CustomersContext, who: UUID, other: UUID) -> None:
    del who, other
    row: dict[str, Any] = {"name": "Aino Uusi", "customerships": [{"company": "kauppa", "number": "1"}]}
    (outcome,) = await (people := CustomersRegister(context)).put(people.entry("kauppa", **row))
    assert outcome.status in ("changed", "unchanged"), outcome


async def _change(context: CustomersContext, who: UUID, other: UUID) -> None:
    del other
    people = CustomersRegister(context)
    (outcome,) = await people.put(people.entry(target=who, language="sv"))
    assert outcome.status == "changed", outcome


DONE: dict[str, Callable[[CustomersContext, UUID, UUID], Awaitable[Any]]] = {
    "import": _import,
    "change": _change,
    "end here": lambda context, who, _: end(context, who, "kauppa", None, date(2026, 1, 1), Speaker()),
    "end there": lambda context, who, _: end(context, who, "sahko", None, date(2026, 1, 1), Speaker()),
    "merge": lambda context, who, other: merge(context, who, other),
    "erase": lambda context, who, _: erase(context, who),
    "come of age": lambda context, *_: come_of_age(context),
    "read": lambda context, who, _: read(context, who, None),
    "find": lambda context, *_: find(context, "sahko:1"),
}


@pytest.mark.parametrize("keys_kept", [True, False], ids=["keys kept", "keys gone"])
@pytest.mark.parametrize("what", DONE)
async def test_it_goes_on_and_is_right_when_the_company_is_back(
    context: CustomersContext, people: CustomersRegister, what: str, keys_kept: bool
) -> None:
    both = [{"company": company, "number": "1"} for company in ("kauppa", "sahko")]
    others = [{"company": company, "number": "2"} for company in ("kauppa", "sahko")]
    aino, eino = await people.put(
        people.entry(name="Aino", customerships=both), people.entry(name="Eino", customerships=others)
    )
    await parties.note(context.pool, GROUP, context.keys)
    file = context.keys._file
    ids = {party: key for party, key in file.id_keys.items() if keys_kept or party != "company.sahko"}
    keys = Keys(file.model_copy(update={"id_keys": ids}))
    assert await parties.note(context.pool, SMALLER, keys) == {"company.sahko"}
    await people.lanes()
    away = replace(context, keys=keys, terms=Terms(SMALLER))
    await DONE[what](away, ident(aino), ident(eino))
    assert FAMILY not in {family for family, _ in await people.lanes()}

    grown = Group(revision=3, controller=GROUP.controller, companies=GROUP.companies)
    await parties.note(context.pool, grown, context.keys)
    await parties.compute_anew(context.pool, (), partial(publish_next, context), AGAIN)
    published = await people.published(FAMILY)
    record = published[context.keys.pairwise("company.sahko", ident(aino))]
    if what == "erase":
        assert {"Aino", "1"}.isdisjoint(map(str, record.values()))
    elif what == "merge":
        assert record.get("status") == "alias" or "name" not in record
    elif what == "end there":
        assert "name" not in record  # who is its customer no more
    else:
        assert record["name"] == "Aino"  # what another company imported is its own
        assert published[context.keys.pairwise("company.sahko", ident(eino))]["name"] == "Eino"


@pytest.mark.parametrize("keys_kept", [True, False], ids=["keys kept", "keys gone"])
async def test_under_another_name_it_is_another_company(
    context: CustomersContext, people: CustomersRegister, keys_kept: bool
) -> None:
    """It imports its customers itself: new records, which sees nothing of the old name's, and who may be the same
    person is bound."""
    phone = [{"kind": "phone", "value": "040 555 0002"}]
    (aino,) = await people.put(
        people.entry("sahko", name="Aino", points=phone, customerships=[{"company": "sahko", "number": "1"}])
    )
    await parties.note(context.pool, GROUP, context.keys)
    file = context.keys._file.model_dump()
    file["id_keys"]["company.energia"] = "ab" * 32
    file["point_keys"]["company.energia"] = {1: "cd" * 32}
    if not keys_kept:
        del file["id_keys"]["company.sahko"], file["point_keys"]["company.sahko"]
    keys = Keys(KeyFile.model_validate(file))
    energia = GROUP.companies[1].model_copy(update={"id": "energia"})
    group = Group(revision=2, controller=GROUP.controller, companies=(GROUP.companies[0], energia))
    assert await parties.note(context.pool, group, keys) == {"company.sahko"}
    renamed = CustomersRegister(replace(context, keys=keys, terms=Terms(group)))
    row: dict[str, Any] = {"points": phone, "customerships": [{"company": "energia", "number": "1"}]}
    (again,) = await renamed.put(renamed.entry("energia", **row))
    assert again.status == "created"
    assert (await renamed.record(ident(again)))["bound_by"] == [str(ident(aino))]
    seen = await renamed.published("company.energia.customers")
    assert [("name" in record, record["numbers"]) for record in seen.values()] == [(False, ["1"])]
    assert (await renamed.record(ident(aino)))["bound_by"] == [str(ident(again))]
    await erase(renamed.context, ident(aino))
    assert (await renamed.record(ident(aino)))["status"] == "erased"
