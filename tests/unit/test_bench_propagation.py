"""What stands beside the bans in the propagation bench is an import that does something."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench import propagation


class Side:
    """Takes no time; remembers whom it was to bring."""

    def __init__(self) -> None:
        self.count = 0
        self.brought: list[range] = []

    async def prepare(self, customers: int) -> None:
        self.count = customers

    async def bring(self, first: int, count: int) -> int:
        self.brought.append(range(first, first + count))
        return 3 * count

    async def bans(self) -> list[float]:
        return [1.0, 2.0, 3.0]


async def test_each_round_imports_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Customers who are there already are `unchanged`: nothing of them is published."""
    product = Side()

    @contextmanager
    def side(*_: Any) -> Iterator[Side]:
        yield product

    async def nothing(*_: Any) -> None: ...

    for name, fake in (("_product", side), ("_bare", side), ("_analyse", nothing)):
        monkeypatch.setattr(propagation, name, fake)
    stack: Any = None
    await propagation._measure(stack, tmp_path, 3)
    everyone = [number for each in product.brought for number in each]
    assert len(everyone) == len(set(everyone)) == 3 * propagation.IMPORTED
    assert min(everyone) >= product.count
