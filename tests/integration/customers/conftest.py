"""customers' database, its keys, a clock that stands still, and what it has published."""

import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

import services.customers
from kielto.group import Company, Controller, Group
from kielto.service.database.pool import Pool, open_pool
from kielto.service.support.crypto_keys import KeyFile, Keys
from services.customers.model.customer import StoredCustomer
from services.customers.model.draft import Speaker, Terms
from services.customers.model.entitlement import SeenCustomer, seen_by
from services.customers.model.given import CustomerPatch, GivenCustomer
from services.customers.model.reading import read_customer
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.register import Registration, RegistrationOutcome, register
from tests.conftest import Migrated

MIGRATIONS = Path(services.customers.__file__).parent / "migrations"
GROUP = Group(
    revision=1,
    controller=Controller(name="x", business_id="9912345-6", contact="x"),
    companies=(
        Company(id="kauppa", name="Kauppa", product_groups=("groceries", "household")),
        Company(id="sahko", name="Sahko", product_groups=("solar",)),
    ),
)


class HelsinkiClock:
    """Noon in Helsinki of a day that a test may change."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 15, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
async def dsn(migrated: Migrated) -> str:
    """A migrated database."""
    return await migrated("customers", MIGRATIONS)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """With an epoch, so that it may be written."""
    pool = await open_pool(dsn, name="test")
    await pool.execute("INSERT INTO epoch (epoch) VALUES (1)")
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def keys() -> Keys:
    parties = ("company.kauppa", "company.sahko")
    file = KeyFile(
        digest_key=secrets.token_hex(64),
        master_key=secrets.token_hex(32),
        index_key=secrets.token_hex(32),
        id_keys={party: secrets.token_hex(32) for party in parties},
        point_keys={party: {1: secrets.token_hex(32)} for party in parties},
    )
    return Keys(file)


@pytest.fixture
def clock() -> HelsinkiClock:
    return HelsinkiClock()


@pytest.fixture
def context(pool: Pool, keys: Keys, clock: HelsinkiClock) -> CustomersContext:
    return CustomersContext(pool, keys, Terms(GROUP), clock, ZoneInfo("Europe/Helsinki"))


def seen(stored: StoredCustomer, scope: str | None = None) -> SeenCustomer:
    return seen_by(stored.customer, scope)


class CustomersRegister:
    """The register as a test uses it."""

    def __init__(self, context: CustomersContext) -> None:
        self.context = context

    def entry(self, company: str | None = None, *, target: UUID | None = None, **fields: Any) -> Registration:
        """To create a customer, or to change `target`."""
        speaker, today = Speaker(company), self.context.moment().today
        if target is not None:
            patch = CustomerPatch.model_validate_json(json.dumps(fields))
            draft = read_customer(patch, speaker, self.context.terms, today)
        else:
            given = GivenCustomer.model_validate_json(json.dumps(fields))
            draft = read_customer(given, speaker, self.context.terms, today)
        return Registration(draft, speaker, scope=company, target=target)

    async def put(self, *entries: Registration) -> list[RegistrationOutcome]:
        return await in_transaction(self.context, lambda conn: register(conn, self.context, list(entries)))

    async def record(self, ident: UUID) -> dict[str, Any]:
        """The record for our own services, as published."""
        return (await self.published("customers"))[str(ident)]

    async def published(self, family: str) -> dict[str, dict[str, Any]]:
        rows = await self.context.pool.fetch(
            "SELECT key, epoch, n, body::text FROM records WHERE family = $1", family
        )
        kept = {r["key"]: self.context.keys.decrypt_record(family, r["key"], r["body"]) for r in rows}
        return {r["key"]: {**json.loads(kept[r["key"]]), "n": r["n"]} for r in rows}

    async def lanes(self) -> list[tuple[str, str]]:
        """Family and lane of every mark, oldest first; and none of them any more."""
        rows = await self.context.pool.fetch("SELECT family, lane FROM marks ORDER BY id")
        await self.context.pool.execute("DELETE FROM marks")
        return [(r["family"], r["lane"]) for r in rows]


@pytest.fixture
def people(context: CustomersContext) -> CustomersRegister:
    return CustomersRegister(context)
