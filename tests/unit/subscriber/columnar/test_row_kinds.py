"""What rows have in common, kept once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kielto.events.topics import PARTITIONS
from kielto.subscriber.columnar.row_kinds import RowKind, RowKinds

KINDS = st.builds(
    RowKind, st.integers(0, 9), st.integers(0, PARTITIONS - 1), st.sampled_from([1, 2, 2**62]), st.just(False)
)


@given(st.lists(KINDS), st.lists(KINDS))
def test_many_have_the_numbers_that_each_has(first: list[RowKind], many: list[RowKind]) -> None:
    kinds = RowKinds()
    singly = [kinds.number(kind) for kind in first]
    assert len(kinds.table.shapes) == len(set(first))
    columns = [np.array([kind[at] for kind in many], np.uint64) for at in range(3)]
    numbers = kinds.numbers(*columns).tolist()
    assert [kinds[number] for number in singly + numbers] == first + many
    assert numbers == [kinds.number(kind) for kind in many]
    table = kinds.table
    told = zip(table.shapes, table.partitions, table.epochs, table.unreadable, strict=True)
    assert list(told) == [kinds[number] for number in range(len(table.shapes))]
