"""The register on real PostgreSQL: what is kept, what is published, and on which lane."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cryptography.exceptions import InvalidTag

from kielto.events import digests
from kielto.events.words import PointKind
from kielto.service.database.epoch import EpochNotOpenError
from services.customers.model.customer import StoredCustomer
from services.customers.model.entitlement import seen_by
from services.customers.model.problems import CustomerRefusedError
from services.customers.store import reading
from services.customers.use_cases.come_of_age import come_of_age
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.read import NoSuchCustomerError, find, read
from services.customers.use_cases.register import Registration, RegistrationOutcome
from services.customers.use_cases.update import StaleRevisionError, change, end
from tests.integration.customers.conftest import CustomersRegister, HelsinkiClock, seen

CODE = "131052-308T"
SALE: dict[str, Any] = {
    "seller": "kauppa",
    "date": "2026-01-02",
    "product_group": "groceries",
    "ban_offered": True,
}
ADDRESS: dict[str, Any] = {"street": "Katu 1", "postal_code": "00100", "city": "Helsinki"}
AINO: dict[str, Any] = {
    "name": "Aino Esimerkki",
    "language": "fi",
    "points": [
        {"kind": "email", "value": "Aino@Example.com", "sales": [SALE]},
        {"kind": "phone", "value": "040 123 4567"},
        {"kind": "post", "address": ADDRESS},
    ],
    "customerships": [{"company": "kauppa", "number": "k 1", "since": "2026-01-02"}],
}


async def stored(
    context: CustomersContext, outcome: RegistrationOutcome, scope: str | None = None
) -> StoredCustomer:
    found = await read(context, ident(outcome), scope)
    assert isinstance(found, StoredCustomer)
    return found


def ident(outcome: RegistrationOutcome) -> UUID:
    assert outcome.id is not None, outcome.problems
    return outcome.id


async def test_a_customer_is_kept_and_published(context: CustomersContext, people: CustomersRegister) -> None:
    (outcome,) = await people.put(people.entry(**AINO))
    assert outcome.status == "created"
    customer = (await stored(context, outcome)).customer
    assert seen_by(customer, None).name == "Aino Esimerkki"
    assert [p.value for p in customer.points] == [
        "aino@example.com", "+358401234567", "Katu 1\n00100\nHELSINKI\nFI",
    ]  # fmt: skip

    record = await people.record(ident(outcome))
    keys = context.keys
    email, phone, post = record["points"]
    assert keys.decrypt(email["digest"]) == digests.digest_of(PointKind.EMAIL, "aino@example.com")
    assert keys.decrypt(phone["digest"]) == digests.digest_of(PointKind.PHONE, "+358401234567")
    assert "digest" not in post
    assert email["sales"] == [SALE]
    (number,) = record["customerships"]
    assert keys.decrypt(number["digest"]) == digests.digest_of(PointKind.NUMBER, "kauppa:K1")

    (own,) = (await people.published("company.kauppa.customers")).values()
    assert own["subject"] == keys.pairwise("company.kauppa", customer.id)
    assert own["numbers"] == ["k 1"]
    assert own["points"][1]["point"] == keys.point("company.kauppa", keys.decrypt(phone["digest"]))
    assert own["points"][2]["point"] == keys.pairwise("company.kauppa", customer.points[2].id)
    assert await people.published("company.sahko.customers") == {}
    assert await people.lanes() == [("company.kauppa.customers", "bulk"), ("customers", "bulk")]


async def test_the_same_again_is_unchanged_and_publishes_nothing(people: CustomersRegister) -> None:
    (first,) = await people.put(people.entry(**AINO))
    await people.lanes()
    (second,) = await people.put(people.entry(**AINO))
    assert (second.status, second.id, second.revision) == ("unchanged", first.id, 1)
    assert await people.lanes() == []


@pytest.mark.parametrize(
    ("change", "lane"),
    [
        ({"deceased": True}, "express"),
        ({"safety_ban": True}, "express"),
        ({"birth_date": "2015-01-01"}, "express"),
        ({"points": []}, "express"),
        ({"points": [{"kind": "email", "value": "aino@example.com", "sales": []}]}, "express"),
        ({"customerships": [{"company": "kauppa", "number": "K1", "ended": "2026-06-01"}]}, "express"),
        ({"recipient": "user"}, "express"),
        ({"customerships": [{"company": "sahko", "number": "7"}]}, "bulk"),
        ({"points": [*AINO["points"], {"kind": "email", "value": "b@example.com"}]}, "bulk"),
    ],
)
async def test_what_restricts_goes_by_express(
    people: CustomersRegister, change: dict[str, Any], lane: str
) -> None:
    (outcome,) = await people.put(people.entry(**AINO))
    await people.lanes()
    (changed,) = await people.put(people.entry(target=outcome.id, **change))
    assert changed.status == "changed"
    assert ("customers", lane) in await people.lanes()
    assert (await people.record(ident(outcome)))["n"] == 2


async def test_a_name_alone_is_news_to_the_company_only(people: CustomersRegister) -> None:
    """Without a postal address: with one it is what an erased person is known again by."""
    (outcome,) = await people.put(people.entry(**AINO | {"points": AINO["points"][:2]}))
    await people.lanes()
    await people.put(people.entry(target=outcome.id, name="Aino Uusi"))
    assert await people.lanes() == [("company.kauppa.customers", "bulk")]


@pytest.mark.parametrize("source", ["kauppa", None])
async def test_an_identity_code_joins_nobody_to_another_sources_customer(
    context: CustomersContext, people: CustomersRegister, source: str | None
) -> None:
    """Whoever stated it: the two stay apart, and a no of one binds the other."""
    (first,) = await people.put(people.entry(source, **AINO, identity_code=CODE))
    (second,) = await people.put(
        people.entry("sahko", identity_code=CODE, customerships=[{"company": "sahko", "number": "7"}])
    )
    assert second.status == "created"
    assert second.id != first.id
    assert (await stored(context, first)).customer.companies == ("kauppa",)
    assert (await people.record(ident(first)))["bound_by"] == [str(second.id)]
    assert (await people.record(ident(second)))["bound_by"] == [str(first.id)]
    (again,) = await people.put(
        people.entry("sahko", identity_code=CODE, customerships=[{"company": "sahko", "number": "8"}])
    )
    assert (again.status, again.id) == ("changed", second.id), "its own is found"


async def test_a_former_identity_code_still_finds_the_person(people: CustomersRegister) -> None:
    (first,) = await people.put(people.entry(**AINO, identity_code=CODE))
    (new,) = await people.put(people.entry(target=first.id, identity_code="131052-309U"))
    assert new.status == "changed"
    (again,) = await people.put(
        people.entry(identity_code=CODE, customerships=[{"company": "sahko", "number": "7"}])
    )
    assert again.id == first.id


async def test_two_customers_are_not_made_one_by_the_way(people: CustomersRegister) -> None:
    await people.put(people.entry(**AINO, identity_code=CODE))
    (other,) = await people.put(people.entry(customerships=[{"company": "sahko", "number": "7"}]))
    (refused,) = await people.put(people.entry(target=other.id, identity_code=CODE))
    assert refused.status == "refused"
    assert [p.field for p in refused.problems] == ["customer"]


async def test_drafts_about_one_customer_are_applied_in_order(
    context: CustomersContext, people: CustomersRegister
) -> None:
    def row(number: str, name: str, **more: Any) -> Registration:
        return people.entry(
            name=name, customerships=[{"company": "kauppa", "number": number}], identity_code=CODE, **more
        )

    first, second, third = await people.put(row("1", "A"), row("1", "B"), row("2", "b"))
    assert [o.status for o in (first, second, third)] == ["created", "changed", "changed"]
    assert first.id == second.id == third.id
    customer = (await stored(context, first)).customer
    assert seen_by(customer, None).name == "b"
    assert [c.number for c in customer.customerships] == ["1", "2"]


async def test_contact_persons_follow_their_organisation_in_one_batch(people: CustomersRegister) -> None:
    organisation = people.entry(recipient="legal", customerships=[{"company": "kauppa", "number": "9"}])
    contacts = [
        people.entry(
            recipient="contact",
            organisation={"company": "kauppa", "number": "9"},
            duties=[{"product_group": "household", "evidence": "contract"}],
            customerships=[{"company": "kauppa", "number": f"9-{i}"}],
        )
        for i in range(3)
    ]
    outcomes = await people.put(organisation, *contacts)
    assert [o.status for o in outcomes] == ["created"] * 4
    record = await people.record(ident(outcomes[1]))
    assert record["organisation"] == str(outcomes[0].id)
    assert record["duties"] == ["household"]


async def test_a_company_refers_to_its_own_customers_only(people: CustomersRegister) -> None:
    (organisation,) = await people.put(
        people.entry(recipient="legal", customerships=[{"company": "kauppa", "number": "9"}])
    )
    contact: dict[str, Any] = {
        "recipient": "contact",
        "organisation": str(organisation.id),
        "customerships": [{"company": "sahko", "number": "1"}],
    }
    (refused,) = await people.put(people.entry("sahko", **contact))
    assert [p.field for p in refused.problems] == ["organisation"]
    with pytest.raises(CustomerRefusedError) as error:
        people.entry("sahko", **contact | {"organisation": {"company": "kauppa", "number": "9"}})
    assert [p.field for p in error.value.problems] == ["organisation.company"]


async def test_an_end_takes_all_but_the_number_from_the_company(
    context: CustomersContext, people: CustomersRegister
) -> None:
    (outcome,) = await people.put(people.entry(**AINO))
    await people.lanes()
    stored = await end(context, ident(outcome), "kauppa", None, None, people.entry().speaker)
    assert stored.customer.customerships[0].ended == context.moment().today
    assert ("customers", "express") in await people.lanes()
    (own,) = (await people.published("company.kauppa.customers")).values()
    assert own.keys() == {"subject", "numbers", "n"}
    again = await end(context, ident(outcome), "kauppa", None, None, people.entry().speaker)
    assert again.revisions == stored.revisions
    with pytest.raises(NoSuchCustomerError):
        await end(context, ident(outcome), "sahko", None, None, people.entry().speaker)


async def test_a_change_needs_the_revision_that_was_read(
    context: CustomersContext, people: CustomersRegister
) -> None:
    (outcome,) = await people.put(people.entry(**AINO))
    entry = people.entry(name="B")
    stored = await change(context, ident(outcome), entry.draft, entry.speaker, {1})
    assert stored.revision(None) == 2
    with pytest.raises(StaleRevisionError):
        await change(context, ident(outcome), entry.draft, entry.speaker, {1})


async def test_a_company_sees_its_own_customers_only(
    context: CustomersContext, people: CustomersRegister
) -> None:
    (outcome,) = await people.put(people.entry(**AINO))
    assert seen(await stored(context, outcome, "kauppa"), "kauppa").name
    with pytest.raises(NoSuchCustomerError):
        await read(context, ident(outcome), "sahko")
    entry = people.entry("sahko", name="B")
    with pytest.raises(NoSuchCustomerError):
        await change(context, ident(outcome), entry.draft, entry.speaker, {1})
    found = await find(context, "kauppa:K1")
    assert found
    assert found.customer.id == outcome.id
    assert await find(context, "kauppa:K2") is None


async def test_a_minor_comes_of_age_by_time_alone(
    context: CustomersContext, people: CustomersRegister, clock: HelsinkiClock
) -> None:
    (outcome,) = await people.put(people.entry(**AINO, birth_date="2008-06-16"))
    assert (await people.record(ident(outcome)))["minor"] is True
    assert await come_of_age(context) == 0
    clock.now = datetime(2026, 6, 15, 21, 30, tzinfo=UTC)  # half past midnight in Helsinki
    await people.lanes()
    assert await come_of_age(context) == 1
    assert "minor" not in await people.record(ident(outcome))
    assert await people.lanes() == [("customers", "bulk")]


async def test_everything_personal_is_sealed_in_the_tables(
    context: CustomersContext, people: CustomersRegister
) -> None:
    plain = ("Aino", "aino@example.com", "358401234567", "Katu 1", CODE, "1952-10-13", "evidence")
    (organisation,) = await people.put(people.entry(recipient="legal"))
    duty = {"product_group": "household", "evidence": "evidence"}
    await people.put(
        people.entry(**AINO, identity_code=CODE),
        people.entry(recipient="contact", organisation=str(organisation.id), duties=[duty]),
    )
    for table in ("customers", "statements", "identifiers", "points", "customerships", "records"):
        rows = await context.pool.fetch(f"SELECT t::text AS row FROM {table} t")
        assert rows
        raw = await context.pool.fetch(f"SELECT * FROM {table}")
        for row in rows:
            assert not any(p in row["row"] for p in plain), table
        for row in raw:
            values = b"".join(v for v in row.values() if isinstance(v, bytes))
            assert not any(p.encode() in values for p in plain), table


async def test_sealed_text_opens_only_in_its_own_row(
    context: CustomersContext, people: CustomersRegister
) -> None:
    first, second = await people.put(people.entry(name="A"), people.entry(name="B"))
    await context.pool.execute(
        "UPDATE statements SET profile = (SELECT profile FROM statements WHERE customer = $1) WHERE customer = $2",
        first.id,
        second.id,
    )
    with pytest.raises(InvalidTag):
        await read(context, ident(second), None)


async def test_the_same_customer_from_many_sides_at_once(
    context: CustomersContext, people: CustomersRegister
) -> None:
    def row(number: str) -> Registration:
        return people.entry(identity_code=CODE, customerships=[{"company": "kauppa", "number": number}])

    outcomes = await asyncio.gather(*(people.put(row(str(1 + i % 4))) for i in range(12)))
    assert len({o.id for (o,) in outcomes}) == 1
    assert sorted(o.status for (o,) in outcomes) == ["changed"] * 3 + ["created"] + ["unchanged"] * 8
    customer = (await stored(context, outcomes[0][0])).customer
    assert [c.number for c in customer.customerships] == ["1", "2", "3", "4"]


async def test_nothing_is_accepted_before_the_epoch_is_claimed(
    context: CustomersContext, people: CustomersRegister
) -> None:
    await context.pool.execute("DELETE FROM epoch")
    with pytest.raises(EpochNotOpenError):
        await people.put(people.entry(**AINO))
    async with context.pool.acquire() as conn:
        assert await reading.by_number(conn, ["kauppa:K1"]) == {}
