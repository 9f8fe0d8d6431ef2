"""consents' database, a group of two companies and a partner, its keys, and people as customers publishes them."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import services.consents
from kielto.clock import utc_now
from kielto.group import Company, Controller, Group, Partner, SubscriberSystem
from kielto.service.database.pool import Pool, open_pool
from kielto.service.support.crypto_keys import KeyFile, Keys
from services.consents.model.rules import Rules
from services.consents.use_cases.context import Context
from tests.conftest import Migrated
from tests.integration.consents.world import ConsentsWorld

MIGRATIONS = Path(services.consents.__file__).parent / "migrations"
GROUP = Group(
    revision=1,
    controller=Controller(name="x", business_id="9912345-6", contact="x"),
    companies=(
        Company(id="kauppa", name="Kauppa", product_groups=("groceries", "household")),
        Company(id="sahko", name="Sahko", product_groups=("electricity",)),
    ),
    partners=(Partner(id="matkat", name="Matkat", of=("kauppa",)),),
    subscribers=(
        SubscriberSystem(id="kauppa-crm", party="company.kauppa", name="CRM", deadline_seconds=60),
        SubscriberSystem(id="kauppa-mail", party="company.kauppa", name="Mail", deadline_seconds=60),
        SubscriberSystem(id="sahko-crm", party="company.sahko", name="CRM", deadline_seconds=60),
    ),
)


@pytest.fixture
async def dsn(migrated: Migrated) -> str:
    """A migrated database."""
    return await migrated("consents", MIGRATIONS)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    """With an epoch, so that it may be written."""
    pool = await open_pool(dsn, name="test", size=20)
    await pool.execute("INSERT INTO epoch (epoch) VALUES (1)")
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys(
        KeyFile(
            digest_key=secrets.token_hex(64),
            master_key=secrets.token_hex(32),
            index_key=secrets.token_hex(32),
            id_keys={party: secrets.token_hex(32) for party in GROUP.parties},
            point_keys={party: {1: secrets.token_hex(32)} for party in GROUP.parties},
            seal_key=secrets.token_hex(32),
        )
    )


@pytest.fixture(scope="session")
def rules() -> Rules:
    return Rules.shipped()


@pytest.fixture
def context(pool: Pool, keys: Keys, rules: Rules) -> Context:
    return Context(pool, GROUP, keys, utc_now, rules)


@pytest.fixture
def world(context: Context) -> ConsentsWorld:
    return ConsentsWorld(context)
