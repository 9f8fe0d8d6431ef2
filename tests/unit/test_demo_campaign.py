"""Whom the demo lets say no in the middle of a campaign: not only those whose message is far away."""

import pytest

from deploy.local.demo.campaign_steps import spread


@pytest.mark.parametrize(("waiting", "count"), [(100, 5), (100, 50), (9, 3), (3, 5), (0, 5), (1, 1)])
def test_they_are_spread_over_the_second_half(waiting: int, count: int) -> None:
    queue = [f"s{n}" for n in range(waiting)]
    chosen = spread(queue, count)
    places = [queue.index(subject) for subject in chosen]
    assert len(set(chosen)) == len(chosen) == min(count, waiting - waiting // 2)
    assert places == sorted(places)
    assert all(place >= waiting // 2 for place in places)
    if waiting >= 10 * count:
        assert min(places) < waiting * 0.65, "none of them is near its turn"
        assert max(places) == waiting - 1
