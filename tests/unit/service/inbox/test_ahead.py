"""A *no* behind an open transaction waits for nobody else's."""

from types import SimpleNamespace
from typing import Any, cast

from kielto import kafka
from kielto.kafka import TopicPartition
from kielto.service.inbox.ahead import Ahead
from kielto.service.inbox.transactional import Intake

BAD, GOOD = TopicPartition("company.a.decisions.v1", 0), TopicPartition("company.b.decisions.v1", 0)


class AheadTaking:
    def __init__(self, fails: int) -> None:
        self.fails, self.taken = fails, list[int]()

    async def take_ahead(self, record: Any) -> None:
        if self.fails:
            self.fails -= 1
            raise RuntimeError
        self.taken.append(record.offset)


class FakeTopicReader:
    """Hands out what stands from the sought offsets on."""

    def __init__(self, end: int) -> None:
        self.end, self.sought = end, dict[TopicPartition, int]()

    async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
        return {place: self.end if place in (BAD, GOOD) else 0 for place in places}

    def assign(self, places: list[TopicPartition]) -> None:
        self.sought = {}

    def seek(self, place: TopicPartition, offset: int) -> None:
        self.sought[place] = offset

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        return {p: [SimpleNamespace(offset=n) for n in range(at, self.end)] for p, at in self.sought.items()}


async def test_what_fails_in_one_topic_keeps_no_other_waiting_and_is_tried_again() -> None:
    bad, good = AheadTaking(fails=1), AheadTaking(fails=0)
    intakes = cast(dict[str, Intake], {BAD.topic: bad, GOOD.topic: good})
    ahead = Ahead("nowhere:1", intakes, security=kafka.CLEAR)
    for _ in range(3):
        await ahead._look(FakeTopicReader(0), FakeTopicReader(2))
    assert good.taken == [0, 1], "each once"
    assert bad.taken == [0, 1]
