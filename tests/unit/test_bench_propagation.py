"""What stands beside the bans in the propagation bench is an import that does something."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench import propagation


class FakeSide:
    """Remembers whom it was to bring."""

    def __init__(self) -> None:
        self.count = self.imported = 0
        self.brought: list[range] = []

    async def prepare(self, customers: int) -> None:
        self.count = customers

    async def bring(self, first: int, count: int) -> None:
        self.brought.append(range(first, first + count))
        await asyncio.sleep(0.6)  # longer than the bans beside it

    async def bans(self, count: int = propagation.BANS) -> list[float]:
        return [1.0, 2.0, 3.0]


async def test_each_round_imports_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Customers who are there already are `unchanged`: nothing of them is published."""
    product = FakeSide()

    @contextmanager
    def side(*_: Any) -> Iterator[FakeSide]:
        yield product

    async def nothing(*_: Any) -> None: ...

    for name, fake in (("_product", side), ("_bare", side), ("_analyse", nothing)):
        monkeypatch.setattr(propagation, name, fake)
    stack: Any = None
    await propagation._measure(stack, tmp_path, 3)
    everyone = [number for each in product.brought for number in each]
    assert len(everyone) == len(set(everyone)) == 3 * propagation.IMPORTED
    assert min(everyone) >= product.count
