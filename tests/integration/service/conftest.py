from collections.abc import AsyncIterator, Callable

import pytest

from deploy.local.stack import Stack
from tests.integration.service.support import Bench, bench


@pytest.fixture
async def service(stack: Stack, database: Callable[[str], str]) -> AsyncIterator[Bench]:
    """A database of one service in epoch 1, and one family's topics on the shared broker."""
    async with bench(database("plumbing"), stack.kafka.bootstrap) as made:
        yield made
