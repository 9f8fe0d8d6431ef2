"""What the end-to-end tests run on: servers of their own, which they stop and kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.servers.stack import Stack


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    with Stack(tmp_path / "stack") as stack:
        if not (stack.kafka.managed and stack.postgres.managed):
            pytest.skip("KIELTO_KAFKA or KIELTO_POSTGRES is set: servers that are not ours cannot be stopped")
        yield stack
