"""Which result of a decision counts, and how many are kept."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from kielto.clock import utc_now
from kielto.events.results import DecisionResult, ResultStatus
from kielto.subscriber.submit import results
from kielto.subscriber.submit.results import ResultsReader
from kielto.subscriber.support.brokers import Brokers

T, W, R, F, P = (
    ResultStatus.TAKEN,
    ResultStatus.WAITING,
    ResultStatus.REFUSED,
    ResultStatus.WIDENED,
    ResultStatus.REPEATED,
)


def a_result(ident: UUID | None, status: ResultStatus) -> DecisionResult:
    return DecisionResult(id=ident, partition=0, offset=0, status=status, at=datetime.now(UTC))


@pytest.mark.parametrize(
    ("told", "counts"),
    [([T], T), ([P], T), ([T, P], T), ([F, P], F), ([R, P], R), ([W, P], W), ([W, P, T], T), ([W, R], R)],
)
async def test_the_newest_counts_but_for_a_repeated_one(
    told: list[ResultStatus], counts: ResultStatus
) -> None:
    found, ident = ResultsReader(Brokers("x:1"), "company.a", utc_now()), uuid4()
    for status in told:
        found.note(a_result(ident, status))
    assert (await found.of(ident, 0.1)).status is counts


async def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "KEPT", 3)
    found, idents = ResultsReader(Brokers("x:1"), "company.a", utc_now()), [uuid4() for _ in range(5)]
    found.note(a_result(None, R))
    for ident in idents:
        found.note(a_result(ident, T))
    assert (await found.of(idents[-3], 0.1)).id == idents[-3]
    with pytest.raises(TimeoutError):
        await found.of(idents[0], 0.05)
