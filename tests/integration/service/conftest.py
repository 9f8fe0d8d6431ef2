from collections.abc import AsyncIterator

import pytest

from deploy.local.servers.stack import Stack
from tests.conftest import Migrated
from tests.integration.service.support import Bench, bench


@pytest.fixture(scope="module", autouse=True)
def one_files_topics(few_topics: None) -> None:
    """Nearly every test here makes some."""


@pytest.fixture
async def service(stack: Stack, migrated: Migrated) -> AsyncIterator[Bench]:
    """A database of one service in epoch 1, and one family's topics on the shared broker."""
    async with bench(await migrated("plumbing", None), stack.kafka.bootstrap) as made:
        yield made
