"""marketing's database, its keys, and records as customers and consents would publish them."""

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import services.marketing
from kielto.service.database.pool import Pool, open_pool
from kielto.service.support.crypto_keys import KeyFile, Keys
from tests.conftest import Migrated

MIGRATIONS = Path(services.marketing.__file__).parent / "migrations"


@pytest.fixture
async def dsn(migrated: Migrated) -> str:
    """A migrated database."""
    return await migrated("marketing", MIGRATIONS)


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[Pool]:
    pool = await open_pool(dsn, name="test")
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def keys_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parties = ("company.kauppa", "company.liittyma", "partner.matkat")
    file = KeyFile(
        digest_key=secrets.token_hex(64),
        master_key=secrets.token_hex(32),
        index_key=secrets.token_hex(32),
        id_keys={party: secrets.token_hex(32) for party in parties},
        point_keys={party: {1: secrets.token_hex(32)} for party in parties},
    )
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_text(file.model_dump_json())
    return path


@pytest.fixture(scope="session")
def keys(keys_file: Path) -> Keys:
    return Keys.load(keys_file)
