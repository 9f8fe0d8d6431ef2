"""Two customers who turn out to be one: nothing of either is lost, the duplicate stays as an alias of the survivor."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag

from kielto.events.envelope import Read
from kielto.events.records import CompanyCustomer, Customer
from kielto.events.words import Status
from services.customers.commands import merge_customers
from services.customers.model.customer import CustomerAlias, StoredCustomer
from services.customers.model.problems import CustomerRefusedError, HasContactPersonsError
from services.customers.store import reading
from services.customers.store.encryption import context as place
from services.customers.use_cases import merge as merging
from services.customers.use_cases.come_of_age import come_of_age
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.erase import erase
from services.customers.use_cases.merge import merge
from services.customers.use_cases.read import NoSuchCustomerError, find, read
from services.customers.use_cases.restore import Kept, keep, take_back
from services.customers.use_cases.update import change, end
from tests.integration.customers.conftest import CustomersRegister
from tests.integration.customers.test_register import AINO, CODE, SALE, ident

AGAIN: dict[str, Any] = {
    "name": "A. Esimerkki",
    "points": [
        {"kind": "phone", "value": "040 123 4567", "sales": [SALE]},
        {"kind": "email", "value": "other@example.com", "sales": [SALE]},
    ],
    "customerships": [
        {"company": "kauppa", "number": "k 2", "since": "2024-01-02"},
        {"company": "sahko", "number": "s 1"},
    ],
}


async def two(people: CustomersRegister, one: dict[str, Any], other: dict[str, Any]) -> tuple[UUID, UUID]:
    outcomes = await people.put(people.entry(**one), people.entry(**other))
    await people.lanes()
    first, second = map(ident, outcomes)
    return first, second


async def alias(context: CustomersContext, customer: UUID) -> CustomerAlias:
    found = await read(context, customer, None)
    assert isinstance(found, CustomerAlias)
    return found


async def living(context: CustomersContext, customer: UUID) -> StoredCustomer:
    found = await read(context, customer, None)
    assert isinstance(found, StoredCustomer)
    return found


async def test_the_survivor_has_what_both_had(context: CustomersContext, people: CustomersRegister) -> None:
    duplicate, survivor = await two(people, AGAIN | {"identity_code": CODE, "language": "sv"}, AINO)
    before = await people.published("customers")
    customer = (await merge(context, duplicate, survivor)).customer
    assert [c.canonical for c in customer.customerships] == ["kauppa:K1", "kauppa:K2", "sahko:S1"]
    facts = customer.facts["group"]
    assert (facts.name, facts.language) == ("Aino Esimerkki", "fi")
    assert (facts.identity is not None, facts.birth_date is not None) == (True, True)
    assert "identity" in facts.at
    assert {p.value for p in customer.points if p.kind == "email"} == {
        "aino@example.com",
        "other@example.com",
    }
    assert len(customer.points) == 4
    assert [len(p.sales) for p in customer.points if p.kind == "phone"] == [1]
    assert customer.aliases == (duplicate,)

    record = await people.record(survivor)
    assert record["aliases"] == [str(duplicate)]
    assert len(record["customerships"]) == 3
    assert {p["id"] for p in record["points"]} == {str(p.id) for p in customer.points}
    gone = await people.record(duplicate)
    assert gone.pop("status") == "alias"
    assert gone.pop("alias_of") == str(survivor)
    assert gone == {**before[str(duplicate)], "n": 2}, "as it was when it was merged"
    assert sorted(await people.lanes()) == [
        *[("company.kauppa.customers", "bulk")] * 2,
        *[("company.sahko.customers", "bulk")] * 2,
        *[("customers", "express")] * 2,
    ]


async def test_companies_learn_of_the_alias_and_of_the_survivor(
    context: CustomersContext, people: CustomersRegister
) -> None:
    duplicate, survivor = await two(people, AGAIN, AINO)
    await merge(context, duplicate, survivor)
    for company, gone, all_numbers in (("kauppa", ["k 2"], ["k 1", "k 2"]), ("sahko", ["s 1"], ["s 1"])):
        published = await people.published(f"company.{company}.customers")
        own = published.pop(context.keys.pairwise(f"company.{company}", duplicate))
        assert own.pop("n") == 2
        assert own.pop("subject")
        assert own == {"status": "alias", "numbers": gone}
        (kept,) = published.values()
        assert (kept["numbers"], kept["name"], len(kept["points"])) == (all_numbers, "Aino Esimerkki", 4)
        for body in published.values():
            CompanyCustomer.model_validate({**body, "version": "1.2"})


async def test_what_moved_is_sealed_as_the_survivors_and_the_key_is_gone(
    context: CustomersContext, people: CustomersRegister
) -> None:
    duplicate, survivor = await two(people, AGAIN | {"identity_code": CODE}, AINO)
    entry = people.entry(identity_code=None, target=duplicate)
    await people.put(entry)  # a former code
    async with context.pool.acquire() as conn:
        old_key = (await reading.load(conn, context.keys, [duplicate]))[duplicate].key
    customer = (await merge(context, duplicate, survivor)).customer
    assert customer.facts["group"].identity is None
    row = await context.pool.fetchrow("SELECT * FROM customers WHERE id = $1", duplicate)
    assert row is not None
    assert (row["data_key"], row["alias_of"]) == (None, survivor)
    assert row["companies"] == ["kauppa", "sahko"]
    for table in ("points", "identifiers", "customerships", "statements"):
        assert not await context.pool.fetchval(
            f"SELECT count(*) FROM {table} WHERE customer = $1",
            duplicate,
        ), table
    new_key = (await living(context, survivor)).key
    code = await context.pool.fetchrow("SELECT * FROM identifiers")
    assert code is not None
    assert (code["is_current"], new_key.decrypt(code["value"], place("identity_code", survivor))) == (
        False,
        CODE,
    )
    for point in await context.pool.fetch("SELECT id, value FROM points"):
        assert new_key.decrypt(point["value"], place("point", point["id"]))
        with pytest.raises(InvalidTag):
            old_key.decrypt(point["value"], place("point", point["id"]))
    (again,) = await people.put(people.entry(identity_code=CODE))
    assert again.id == survivor, "found by the former code"


async def test_reading_an_alias_says_whose(context: CustomersContext, people: CustomersRegister) -> None:
    duplicate, survivor = await two(people, AGAIN, AINO)
    await merge(context, duplicate, survivor)
    found = await alias(context, duplicate)
    assert (found.survivor, found.companies, found.revision(None)) == (survivor, ("kauppa", "sahko"), 2)
    assert isinstance(await read(context, duplicate, "sahko"), CustomerAlias)
    by_number = await find(context, "sahko:S1")
    assert by_number is not None
    assert by_number.customer.id == survivor


async def test_a_company_sees_no_alias_of_anyone_elses(
    context: CustomersContext, people: CustomersRegister
) -> None:
    duplicate, survivor = await two(people, AINO, AGAIN)
    await merge(context, duplicate, survivor)
    assert isinstance(await read(context, survivor, "sahko"), StoredCustomer)
    with pytest.raises(NoSuchCustomerError):
        await read(context, duplicate, "sahko")


async def test_changes_afterwards_reach_the_survivor(
    context: CustomersContext, people: CustomersRegister
) -> None:
    duplicate, survivor = await two(people, AGAIN, AINO)
    await merge(context, duplicate, survivor)
    await people.lanes()
    number = {"company": "sahko", "number": "S1"}
    (imported,) = await people.put(people.entry("sahko", language="sv", customerships=[number]))
    assert imported.id == survivor
    assert (await people.record(survivor))["aliases"] == [str(duplicate)]
    entry = people.entry(name="B")
    with pytest.raises(CustomerRefusedError, match="customer: was merged"):
        await change(context, duplicate, entry.draft, entry.speaker, {2})
    ended = await end(context, duplicate, "sahko", None, None, people.entry("sahko", name="x").speaker)
    assert ended.customer.id == survivor
    assert not ended.customer.active_in("sahko")
    assert ended.customer.active_in("kauppa")


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [
        ({"identity_code": CODE}, {"identity_code": "170580-308K"}, "identity_code"),
        ({"birth_date": "1980-05-17"}, {"birth_date": "1980-05-18"}, "birth_date"),
        ({"recipient": "legal"}, {}, "recipient"),
        (
            {"recipient": "legal", "business_id": "2077474-0"},
            {"recipient": "legal", "business_id": "0737546-2"},
            "business_id",
        ),
        (
            {"points": [{"kind": "email", "value": f"a{i}@example.com"} for i in range(30)]},
            {"points": [{"kind": "email", "value": f"b{i}@example.com"} for i in range(30)]},
            "points",
        ),
    ],
)
async def test_who_cannot_be_one_is_refused(
    context: CustomersContext,
    people: CustomersRegister,
    one: dict[str, Any],
    other: dict[str, Any],
    field: str,
) -> None:
    duplicate, survivor = await two(people, one, other)
    before = await people.published("customers")
    with pytest.raises(CustomerRefusedError) as refused:
        await merge(context, duplicate, survivor)
    assert field in {p.field for p in refused.value.problems}
    assert await people.published("customers") == before
    assert await people.lanes() == []


async def test_contact_persons_of_one_organisation_and_duty_area_alone(
    context: CustomersContext, people: CustomersRegister
) -> None:
    firm, other = await two(people, {"recipient": "legal"}, {"recipient": "legal"})

    def contact(organisation: UUID, *groups: str) -> dict[str, Any]:
        duties = [{"product_group": g, "evidence": "contract"} for g in groups]
        return {"recipient": "contact", "organisation": str(organisation), "duties": duties}

    same, buyer = await two(people, contact(firm, "solar"), contact(firm, "groceries"))
    elsewhere, again = await two(people, contact(other, "solar"), contact(firm, "solar"))
    for one, into, field in ((same, buyer, "duties"), (same, elsewhere, "organisation")):
        with pytest.raises(CustomerRefusedError) as refused:
            await merge(context, one, into)
        assert [p.field for p in refused.value.problems] == [field]
    assert (await merge(context, again, same)).customer.aliases == (again,)


async def test_what_restricts_either_restricts_the_survivor(
    context: CustomersContext, people: CustomersRegister
) -> None:
    dead: dict[str, Any] = {"deceased": True, "safety_ban": True, "birth_date": "2015-01-01"}
    for one, other in permutations(({"name": "A"}, dead)):
        duplicate, survivor = await two(people, one, other)
        customer = (await merge(context, duplicate, survivor)).customer
        assert (customer.deceased, customer.safety_ban, customer.minor) == (True, True, True)
        assert (await people.record(survivor))["deceased"] is True
    assert await come_of_age(context) == 0


async def test_an_address_is_of_a_task_only_where_both_say_so(
    context: CustomersContext, people: CustomersRegister
) -> None:
    info = {"kind": "email", "value": "info@example.com"}
    firm = {"recipient": "legal", "points": [info | {"role_address": True}]}
    duplicate, survivor = await two(people, {"recipient": "legal", "points": [info]}, firm)
    (point,) = (await merge(context, duplicate, survivor)).customer.points
    assert point.of_a_task("kauppa") is False


async def test_contact_persons_follow_their_organisation(
    context: CustomersContext, people: CustomersRegister
) -> None:
    number = {"company": "kauppa", "number": "9"}
    firm = {"recipient": "legal", "customerships": [number]}
    duplicate, survivor = await two(people, firm, {"recipient": "legal"})
    (contact,) = await people.put(people.entry(name="C", recipient="contact", organisation=number))
    await merge(context, duplicate, survivor)
    assert (await people.record(ident(contact)))["organisation"] == str(survivor)
    (late,) = await people.put(people.entry(name="D", recipient="contact", organisation=str(duplicate)))
    assert (await living(context, ident(late))).customer.facts["group"].organisation == survivor
    with pytest.raises(HasContactPersonsError):
        await erase(context, survivor)


async def test_again_it_changes_nothing_and_chains_stay_right(
    context: CustomersContext, people: CustomersRegister
) -> None:
    a, b = await two(people, AGAIN, AINO)
    c, d = await two(people, {"name": "C"}, {"name": "D"})
    await merge(context, a, b)
    await people.lanes()
    assert (await merge(context, a, b)).customer.id == b
    assert await people.lanes() == []
    assert (await merge(context, b, c)).customer.aliases == tuple(sorted((a, b)))
    assert [(await alias(context, x)).survivor for x in (a, b)] == [c, c]
    records = await people.published("customers")
    assert [records[str(x)].get("alias_of") for x in (a, b, c)] == [str(b), str(c), None]
    assert (await alias(context, b)).companies == ("kauppa", "sahko")
    assert (await merge(context, a, c)).customer.id == c, "it is an alias of it by now"
    assert (await merge(context, d, a)).customer.id == c, "an alias as survivor stands for its own survivor"
    assert len(await people.published("company.kauppa.customers")) == 3


async def test_refused(
    context: CustomersContext, people: CustomersRegister, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = await two(people, {"name": "A"}, {"name": "B"})
    third, fourth = await two(people, {"name": "C"}, {"name": "D"})
    await merge(context, one, other)
    await people.lanes()
    for duplicate, into, rule in (
        (other, other, "into: must be another customer"),
        (one, one, "into: must be another customer"),
        (other, one, "into: must be another customer"),
        (other, uuid4(), "into: must be a customer in the register"),
        (one, third, "customer: is an alias of another"),
    ):
        with pytest.raises(CustomerRefusedError, match=rule):
            await merge(context, duplicate, into)
    with pytest.raises(NoSuchCustomerError):
        await merge(context, uuid4(), other)
    command = partial(merge_customers, context)
    for wrong in (["x", str(other)], [str(other)], []):
        assert await command(wrong) == 2
    assert await command([str(uuid4()), str(other)]) == 1
    assert await command([str(other), str(other)]) == 1
    assert await people.lanes() == []
    assert await command([str(third), str(fourth)]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "not merged: there is no such duplicate",
        "not merged: into: must be another customer",
        f"merged into {fourth}",
    ]


async def test_a_kill_in_between_leaves_nothing_half_done(
    context: CustomersContext, people: CustomersRegister, monkeypatch: pytest.MonkeyPatch
) -> None:
    duplicate, survivor = await two(people, AGAIN | {"identity_code": CODE}, AINO)
    before = [await living(context, x) for x in (duplicate, survivor)]

    async def killed(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(merging, "put", killed)
        with pytest.raises(ConnectionResetError):
            await merge(context, duplicate, survivor)
    for now, then in zip([await living(context, x) for x in (duplicate, survivor)], before, strict=True):
        assert (now.customer, now.revisions) == (then.customer, then.revisions)
    assert (await merge(context, duplicate, survivor)).customer.aliases == (duplicate,)


async def test_erasing_erases_the_whole_person(context: CustomersContext, people: CustomersRegister) -> None:
    for named in range(3):
        a, b = await two(people, AGAIN, AINO)
        (third,) = await people.put(people.entry(name="C"))
        c = ident(third)
        await merge(context, a, b)
        await merge(context, b, c)
        await people.lanes()
        await erase(context, (a, b, c)[named])
        assert await context.pool.fetchval("SELECT count(*) FROM customers") == 0
        for x in (a, b, c):
            assert (await people.record(x)).keys() == {"subject", "status", "n"}
            with pytest.raises(NoSuchCustomerError):
                await read(context, x, None)
        for company, ids in (("kauppa", (a, b, c)), ("sahko", (a, b, c))):
            own = await people.published(f"company.{company}.customers")
            keys = [context.keys.pairwise(f"company.{company}", x) for x in ids]
            assert {own[key]["status"] for key in keys} == {"erased"}
        lanes = await people.lanes()
        assert lanes.count(("customers", "express")) == 3
        with pytest.raises(NoSuchCustomerError):
            await merge(context, a, b)


async def test_who_was_merged_since_the_backup_is_merged_again(
    context: CustomersContext, people: CustomersRegister
) -> None:
    """The topics say so, of chains in whatever order; and who was erased afterwards is erased."""
    a, b = await two(people, AGAIN, AINO)
    c, gone = await two(people, {"name": "C"}, {"name": "D"})
    e, f = await two(people, {"identity_code": CODE}, {"identity_code": "170580-308K"})

    def said(customer: UUID, into: UUID | None) -> tuple[str, Kept]:
        status = Status.ALIAS if into else Status.ERASED
        kept = keep(
            Read(str(customer), Customer(version="1.9", subject=customer, status=status, alias_of=into))
        )
        assert kept is not None
        return str(customer), kept

    assert keep(Read(str(a), Customer(version="1.9", subject=a))) is None
    await context.pool.execute("UPDATE epoch SET epoch = 2, open = false")
    merged = dict((said(b, c), said(a, b), said(uuid4(), c), said(gone, uuid4()), said(e, f)))
    for _ in range(2):
        await take_back(context, merged, 2)
    assert (await alias(context, a)).survivor == (await alias(context, b)).survivor == c
    await take_back(context, dict(said(x, None) for x in (b, c, a)), 2)
    assert {(await people.record(x))["status"] for x in (a, b, c)} == {"erased"}
    for x in (gone, e, f):
        assert isinstance(await read(context, x, None), StoredCustomer), "refused, and told"


async def test_opposite_merges_at_once(context: CustomersContext, people: CustomersRegister) -> None:
    for _ in range(5):
        one, other = await two(people, {"name": "A"}, {"name": "B"})
        done = await asyncio.gather(
            merge(context, one, other), merge(context, other, one), return_exceptions=True
        )
        assert sorted(type(x).__name__ for x in done) == ["CustomerRefusedError", "StoredCustomer"], done


async def test_merges_changes_imports_and_erasures_at_once(
    context: CustomersContext, people: CustomersRegister
) -> None:
    """Whatever came first: no number is lost, everyone has one survivor, and the records say what the tables hold."""
    number = 12

    def row(i: int) -> dict[str, Any]:
        points = [
            {"kind": "phone", "value": f"0401{i:06d}"},
            {"kind": "email", "value": "shared@example.com"},
        ]
        return {"customerships": [{"company": "kauppa", "number": f"N{i}"}], "points": points}

    ids = [ident(x) for x in await people.put(*(people.entry(name=f"P{i}", **row(i)) for i in range(number)))]
    lost, spare = await two(people, {"name": "Lost"}, {"name": "Spare"})

    def work() -> list[Awaitable[Any]]:
        merges = [merge(context, ids[i], ids[(i * 5 + 3) % number]) for i in range(number)]
        rows = [people.put(people.entry("kauppa", language="fi", **row(i))) for i in range(number)]
        batch = [people.put(*(people.entry("kauppa", **row(i)) for i in reversed(range(number))))]
        return [*merges, *rows, *batch, merge(context, spare, lost), erase(context, lost)]

    for done in await asyncio.gather(*work(), return_exceptions=True):
        assert not isinstance(done, BaseException) or isinstance(
            done, (CustomerRefusedError, NoSuchCustomerError)
        ), repr(done)
    records = await people.published("customers")
    held = {r["id"]: r["alias_of"] for r in await context.pool.fetch("SELECT id, alias_of FROM customers")}
    gone = {lost, spare} if records[str(spare)].get("status") == "erased" else {lost}
    assert {*held} == {*ids, lost, spare} - gone
    assert records[str(lost)]["status"] == "erased"
    survivors = [x for x in ids if held[x] is None]
    found = [await living(context, survivor) for survivor in survivors]
    assert sorted(c.number for s in found for c in s.customer.customerships) == sorted(
        f"N{i}" for i in range(number)
    )
    assert {x for s in found for x in (s.customer.id, *s.customer.aliases)} == {*ids}
    for one, survivor in held.items():
        assert records[str(one)].get("status") == ("alias" if survivor else None)
    for stored in found:
        published = records[str(stored.customer.id)]
        assert len(published["customerships"]) == len(stored.customer.customerships)
        assert published.get("aliases", []) == [str(x) for x in stored.customer.aliases]
        assert {p["id"] for p in published["points"]} == {str(p.id) for p in stored.customer.points}
