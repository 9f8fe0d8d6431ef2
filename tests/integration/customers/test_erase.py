"""Erasing a customer: nothing personal is left in any table, and `erased` is published everywhere."""

from dataclasses import replace
from functools import partial
from uuid import UUID, uuid4

import pytest

from kielto.events.envelope import Read
from kielto.events.records import CompanyCustomer, Customer
from kielto.events.words import Status
from kielto.group import Group
from kielto.service.outbox import parties
from kielto.service.support.crypto_keys import Keys
from services.customers.commands import erase_customer
from services.customers.model.draft import Terms
from services.customers.model.problems import HasContactPersonsError
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.erase import erase
from services.customers.use_cases.read import NoSuchCustomerError, read
from services.customers.use_cases.restore import keep, take_back
from tests.integration.customers.conftest import GROUP, CustomersRegister
from tests.integration.customers.test_register import AINO, CODE, ident

TABLES = ("customers", "statements", "points", "identifiers", "customerships")


async def test_nothing_is_left_but_that_they_are_erased(
    context: CustomersContext, people: CustomersRegister
) -> None:
    other, aino = await people.put(
        people.entry(name="Other", customerships=[{"company": "sahko", "number": "1"}]),
        people.entry(**AINO, identity_code=CODE),
    )
    await people.lanes()
    await erase(context, ident(aino))
    with pytest.raises(NoSuchCustomerError):
        await read(context, ident(aino), None)
    for table in TABLES:
        column = "id" if table == "customers" else "customer"
        left = await context.pool.fetchval(f"SELECT count(*) FROM {table} WHERE {column} = $1", aino.id)
        assert left == 0, table
    record = await people.record(ident(aino))
    assert record.pop("n") == 2
    assert record == {"subject": str(aino.id), "status": "erased"}
    (own,) = (await people.published("company.kauppa.customers")).values()
    assert own.pop("n") == 2
    assert own == {"subject": context.keys.pairwise("company.kauppa", ident(aino)), "status": "erased"}
    Customer.model_validate({**record, "version": "1.2"})
    CompanyCustomer.model_validate({**own, "version": "1.2"})
    assert sorted(await people.lanes()) == [("company.kauppa.customers", "bulk"), ("customers", "express")]
    assert (await people.record(ident(other)))["n"] == 1
    (again,) = await people.put(people.entry(**AINO))
    assert again.id != aino.id  # whoever comes back is somebody new


async def test_nothing_is_left_for_a_company_that_has_left_the_group(
    context: CustomersContext, people: CustomersRegister
) -> None:
    both = [{"company": company, "number": "1"} for company in ("kauppa", "sahko")]
    aino, eino = await people.put(
        people.entry(name="Aino", customerships=both),
        people.entry(name="Eino", customerships=[{"company": "sahko", "number": "2"}]),
    )
    await people.lanes()
    smaller = Group(revision=2, controller=GROUP.controller, companies=GROUP.companies[:1])
    left = replace(context, terms=Terms(smaller))
    await erase(left, ident(aino))
    for company in ("kauppa", "sahko"):
        key = context.keys.pairwise(f"company.{company}", ident(aino))
        record = (await people.published(f"company.{company}.customers"))[key]
        assert record == {"subject": key, "status": "erased", "n": 2}
    assert sorted(await people.lanes()) == [("company.kauppa.customers", "bulk"), ("customers", "express")]
    file = context.keys._file
    kept = {party: key for party, key in file.id_keys.items() if party != "company.sahko"}
    without = replace(left, keys=Keys(file.model_copy(update={"id_keys": kept})))
    await parties.note(context.pool, GROUP, context.keys)
    await parties.note(context.pool, smaller, without.keys)
    key = context.keys.pairwise("company.sahko", ident(eino))
    assert (await people.published("company.sahko.customers"))[key] == {"subject": key, "n": 2}
    await erase(without, ident(eino))


async def test_who_was_erased_since_the_backup_is_erased_again(
    context: CustomersContext, people: CustomersRegister
) -> None:
    """The topics say so. Unknown ones came after the backup; an organisation goes after its contact persons."""
    firm, aino = await people.put(
        people.entry(name="Firm", recipient="legal", customerships=[{"company": "kauppa", "number": "9"}]),
        people.entry(**AINO),
    )
    (contact,) = await people.put(
        people.entry(name="Contact", recipient="contact", organisation={"company": "kauppa", "number": "9"})
    )
    gone = [str(ident(x)) for x in (firm, aino, contact)] + [str(uuid4())]
    records = [Customer(version="1.9", subject=UUID(x), status=Status.ERASED) for x in gone]
    kept = {str(r.subject): keep(Read(str(r.subject), r)) for r in records}
    assert keep(Read(gone[0], Customer(version="1.9", subject=UUID(gone[0])))) is None
    await context.pool.execute("UPDATE epoch SET epoch = 2, open = false")
    for _ in range(2):
        await take_back(context, {k: found for k, found in kept.items() if found}, 2)
    for one in (firm, aino, contact):
        assert (await people.record(ident(one)))["status"] == "erased"
    assert await context.pool.fetchval("SELECT count(*) FROM customers") == 0


async def test_refused(
    context: CustomersContext, people: CustomersRegister, capsys: pytest.CaptureFixture[str]
) -> None:
    (firm,) = await people.put(
        people.entry(name="Firm", recipient="legal", customerships=[{"company": "kauppa", "number": "9"}])
    )
    await people.put(
        people.entry(name="Contact", recipient="contact", organisation={"company": "kauppa", "number": "9"})
    )
    await people.lanes()
    with pytest.raises(HasContactPersonsError):
        await erase(context, ident(firm))
    with pytest.raises(NoSuchCustomerError):
        await erase(context, UUID(int=1))
    command = partial(erase_customer, context)
    assert [await command([str(uuid4())]), await command([str(firm.id)]), await command(["x"])] == [1, 1, 2]
    assert await people.lanes() == []
    (one,) = await people.put(people.entry(name="One"))
    assert await command([str(one.id)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "erased"
