"""What customers publishes of a merge, taken in by consents in whatever order: a no of either binds both, at once."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

import services.customers
from kielto.events.records import Customer
from kielto.service.database.pool import Conn, Pool, open_pool
from services.consents.model.ref import NamedSubject
from services.customers.model.draft import Speaker, Terms
from services.customers.model.given import GivenCustomer
from services.customers.model.reading import read_customer
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.erase import erase
from services.customers.use_cases.merge import merge
from services.customers.use_cases.register import Registration, RegistrationOutcome, register
from tests.conftest import Migrated
from tests.integration.consents.conftest import GROUP
from tests.integration.consents.world import ConsentsWorld

PHONE, OTHER = "+358401234567", "+358407654321"


class MergingRegister:
    """customers itself, on a database of its own."""

    def __init__(self, context: CustomersContext) -> None:
        self.context = context

    async def person(self, number: str, *phones: str) -> UUID:
        given = GivenCustomer.model_validate_json(
            json.dumps(
                {
                    "points": [{"kind": "phone", "value": phone} for phone in phones],
                    "customerships": [{"company": "kauppa", "number": number}],
                }
            )
        )
        draft = read_customer(given, Speaker(), self.context.terms, self.context.moment().today)

        async def work(conn: Conn) -> list[RegistrationOutcome]:
            return await register(conn, self.context, [Registration(draft, Speaker())])

        (outcome,) = await in_transaction(self.context, work)
        assert outcome.id is not None
        return outcome.id

    async def records(self) -> dict[UUID, Customer]:
        """As they stand on its topics now."""
        rows = await self.context.pool.fetch("SELECT * FROM records WHERE family = 'customers'")
        read = [json.loads(r["body"]) | {"version": f"{r['epoch']}.{r['n']}"} for r in rows]
        return {r.subject: r for r in map(Customer.model_validate, read)}


@pytest.fixture
async def people(migrated: Migrated, world: ConsentsWorld) -> AsyncIterator[MergingRegister]:
    dsn = await migrated("customers", Path(services.customers.__file__).parent / "migrations")
    pool: Pool = await open_pool(dsn, name="test")
    await pool.execute("INSERT INTO epoch (epoch) VALUES (1)")
    at = datetime(2026, 6, 15, 9, tzinfo=UTC)
    yield MergingRegister(
        CustomersContext(pool, world.keys, Terms(GROUP), lambda: at, ZoneInfo("Europe/Helsinki"))
    )
    await pool.close()


async def allowed(world: ConsentsWorld, customer: UUID) -> set[str]:
    """The addresses at which kauppa may call."""
    key = world.keys.pairwise("company.kauppa", customer)
    text = await world.pool.fetchval(
        "SELECT body FROM records WHERE family = 'company.kauppa' AND key = $1", key
    )
    return {
        at["point"] for at in json.loads(text).get("points", ()) if at["channel"] == "phone" and at["allow"]
    }


@pytest.mark.parametrize("survivor_banned", [False, True])
@pytest.mark.parametrize("survivors_record_first", [False, True])
async def test_a_ban_of_either_binds_both_whichever_record_comes_first(
    world: ConsentsWorld, people: MergingRegister, survivor_banned: bool, survivors_record_first: bool
) -> None:
    duplicate, survivor = await people.person("1", PHONE), await people.person("2", OTHER)
    before = await people.records()
    await world.take_in(list(before.values()))
    assert len(await allowed(world, survivor)) == len(await allowed(world, duplicate)) == 1
    await world.decide(NamedSubject.of_customer(survivor if survivor_banned else duplicate))
    await merge(people.context, duplicate, survivor)
    after = await people.records()
    order = [after[survivor], after[duplicate]]
    for record in order if survivors_record_first else reversed(order):
        await world.take_in([record])
        assert await allowed(world, survivor) == await allowed(world, duplicate) == set()
    await world.take_in(list(before.values()))
    assert await allowed(world, survivor) == set(), "what was late is older"
    assert await world.stale() == []


async def test_records_on_their_way_in_any_order(world: ConsentsWorld, people: MergingRegister) -> None:
    """The duplicate's first record, its last one, and the survivor's: at no moment is anything allowed."""
    for turn, order in enumerate(permutations(range(3))):
        duplicate, survivor = await people.person(f"1{turn}", PHONE), await people.person(f"2{turn}", OTHER)
        first = (await people.records())[duplicate]
        await world.decide(NamedSubject.of_customer(duplicate))
        await merge(people.context, duplicate, survivor)
        records = await people.records()
        travelling = (first, records[duplicate], records[survivor])
        for i in order:
            await world.take_in([travelling[i]])
            known = await world.pool.fetchval("SELECT count(*) FROM customers WHERE id = $1", survivor)
            assert not known or await allowed(world, survivor) == set(), order
        assert await allowed(world, duplicate) == set()


async def test_without_a_ban_they_are_one(world: ConsentsWorld, people: MergingRegister) -> None:
    duplicate, survivor = await people.person("1", PHONE), await people.person("2", OTHER)
    await world.take_in(list((await people.records()).values()))
    both = await allowed(world, survivor) | await allowed(world, duplicate)
    await merge(people.context, duplicate, survivor)
    await world.take_in(list((await people.records()).values()))
    assert await allowed(world, survivor) == await allowed(world, duplicate) == both
    await erase(people.context, duplicate)
    await world.take_in(list((await people.records()).values()))
    assert await allowed(world, survivor) == await allowed(world, duplicate) == set()


async def test_a_register_that_forgot_the_merge_parts_nobody(
    world: ConsentsWorld, people: MergingRegister
) -> None:
    """Restored from a backup of before it: the ban that the survivor gave meanwhile still binds the other address."""
    duplicate, survivor = await people.person("1", PHONE), await people.person("2", OTHER)
    before = await people.records()
    await merge(people.context, duplicate, survivor)
    await world.take_in(list((await people.records()).values()))
    await world.decide(NamedSubject.of_customer(survivor))
    await world.take_in([r.model_copy(update={"version": "2.1"}) for r in before.values()])
    assert await allowed(world, survivor) == await allowed(world, duplicate) == set()


async def test_a_chain_read_at_once_and_in_any_order(world: ConsentsWorld, people: MergingRegister) -> None:
    """Both the one in between and the last survivor name the first."""
    orders = [[[0, 1, 2]], [[1, 2], [0]], *([[i] for i in order] for order in permutations(range(3)))]
    for turn, order in enumerate(orders):
        a, b, c = [await people.person(f"{turn}-{i + 1}", f"+35840{turn}00000{i}") for i in range(3)]
        await world.decide(NamedSubject.of_customer(a))
        await merge(people.context, a, b)
        await merge(people.context, b, c)
        records = await people.records()
        chain = [records[x] for x in (a, b, c)]
        for batch in order:
            await world.take_in([chain[i] for i in batch])
            for x in (a, b, c):
                known = await world.pool.fetchval("SELECT body IS NOT NULL FROM customers WHERE id = $1", x)
                assert not known or await allowed(world, x) == set(), order
    assert await world.stale() == []
