"""Row kinds: the combinations of shape, partition, epoch and readability. Each is kept once; a row has its number."""

from typing import NamedTuple

import numpy as np

from kielto.events.topics import PARTITIONS
from kielto.subscriber.columnar.arrays import Many


class RowKind(NamedTuple):
    shape: int
    partition: int
    epoch: int
    """The epoch of the version."""
    unreadable: bool


class RowKindColumns(NamedTuple):
    """The fields of all kinds as columns, by number."""

    shapes: Many
    partitions: Many
    epochs: Many
    unreadable: Many


class RowKinds:
    def __init__(self) -> None:
        self._numbers: dict[RowKind, int] = {}
        self._kinds: list[RowKind] = []
        self._table: RowKindColumns | None = None

    def __getitem__(self, number: int) -> RowKind:
        return self._kinds[number]

    def number(self, kind: RowKind) -> int:
        number = self._numbers.setdefault(kind, len(self._kinds))
        if number == len(self._kinds):
            self._kinds.append(kind)
            self._table = None
        return number

    def numbers(self, shapes: Many, partitions: Many, epochs: Many) -> Many:
        """The numbers of the kinds of many readable rows."""
        combined = shapes * PARTITIONS + partitions
        numbers = np.zeros(len(shapes), np.int64)
        for epoch in np.unique(epochs).tolist():  # mostly one
            of_epoch = epochs == epoch
            distinct, nth = np.unique(combined[of_epoch], return_inverse=True)
            pairs = (divmod(pair, PARTITIONS) for pair in distinct.tolist())
            kinds = [RowKind(shape, partition, epoch, False) for shape, partition in pairs]
            numbers[of_epoch] = np.array([self.number(kind) for kind in kinds])[nth]
        return numbers

    @property
    def table(self) -> RowKindColumns:
        if self._table is None:
            types = (np.int64, np.int64, np.uint64, bool)
            columns = zip(*self._kinds, strict=True) if self._kinds else ((),) * len(types)
            self._table = RowKindColumns(*(np.array(c, t) for c, t in zip(columns, types, strict=True)))
        return self._table
