"""Heartbeats by the contract's rules, read from the log itself."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from kielto.events import control
from kielto.events.topics import PARTITIONS, Lane
from kielto.service.outbox import backfills, batch_send, express_lane, pending
from kielto.service.outbox.batch_send import Delivered, OutboxMessage
from kielto.service.outbox.heartbeats import Beats
from kielto.service.outbox.leader import Leader
from tests.integration.service.support import BEAT, Bench, key, quarantine_of
from tests.waiting import until


async def test_every_partition_gets_every_beat_in_order(service: Bench) -> None:
    service.relay()
    await until(lambda: _numbers_reach(service, 4), "no beats")
    await service.stop_relays()
    beats = await service.beats()
    for partition in range(PARTITIONS):
        numbers = [beat.n for p, _, beat in beats if p == partition]
        assert numbers == list(range(1, len(numbers) + 1))
    assert {(beat.epoch, beat.term) for _, _, beat in beats} == {(1, 2)}


async def _numbers_reach(service: Bench, n: int) -> bool:
    return max((beat.n for _, _, beat in await service.beats()), default=0) >= n


async def test_no_beat_overtakes_what_was_committed_before_its_look(
    service: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each record is committed before the look for a beat begins, so it stands before that beat in the
    log.
    """
    looked: list[tuple[int, str]] = []
    original = Beats.look

    async def look(self: Beats, conn: Leader) -> object:
        k = key()
        await service.publish(k)  # committed, unpublished, and its NOTIFY not yet heard
        looked.append((self._n + 1, k))
        return await original(self, conn)

    monkeypatch.setattr(Beats, "look", look)
    service.relay()
    await until(lambda: _numbers_reach(service, 6), "no beats")
    await service.stop_relays()
    entries = await service.log()
    first = {e.key: (e.partition, e.offset) for e in reversed(entries)}
    beats = {(e.partition, e.event.n): e.offset for e in entries if isinstance(e.event, control.Beat)}
    for n, k in looked[:6]:
        partition, offset = first[k]
        assert offset < beats[partition, n], f"beat {n} vouches for a record that stands behind it"


async def test_nothing_vouches_for_what_is_withheld(service: Bench) -> None:
    """Asked before the marks: what is not withheld then is marked, or is committed later."""
    withheld: set[str] = {service.family.name}

    async def ask(_: Leader) -> set[str]:
        return set(withheld)

    service.relay(withheld=ask)
    k = key()
    await service.publish(k)
    await service.no_marks()
    await asyncio.sleep(5 * BEAT)
    assert await service.beats() == []
    withheld.clear()
    await until(lambda: _numbers_reach(service, 2), "no beats")


async def test_a_look_asks_what_is_withheld_before_it_reads_the_marks(
    service: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What stopped being withheld after the question was marked before the marks are read."""
    order: list[str] = []
    fetch = pending.fetch

    async def ask(_: Leader) -> tuple[str, ...]:
        order.append("withheld")
        return ()

    async def noted(*asked: Any) -> Any:
        order.append("marks")
        return await fetch(*asked)

    monkeypatch.setattr(pending, "fetch", noted)
    service.relay(withheld=ask)
    await until(lambda: _numbers_reach(service, 2), "no beats")
    for place, what in enumerate(order):
        if what == "withheld":
            assert order[place + 1] == "marks"


async def test_a_number_is_not_followed_after_an_unknown_answer(
    service: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beat is appended, the answer lost: no beat may follow its number directly in the same term."""
    lost: list[tuple[int, int]] = []

    async def deliver(producer: object, messages: list[OutboxMessage]) -> Delivered:
        delivered = await batch_send.deliver(producer, messages)
        if messages and messages[0].key == control.BEAT.encode() and not lost:
            beat = control.Beat.model_validate_json(messages[0].value or b"")
            if beat.n == 3:
                lost.append((beat.term, beat.n))
                return Delivered([None] * len(messages), TimeoutError())
        return delivered

    monkeypatch.setattr(express_lane, "deliver", deliver)
    service.relay()
    await until(lambda: bool(lost), "never lost")
    term, n = lost[0]
    await until(lambda: _numbers_reach_in(service, term + 1, 3), "it does not beat again")
    numbers = {(beat.term, beat.n) for _, _, beat in await service.beats()}
    assert (term, n) in numbers, "the lost one stands in the log"
    assert (term, n + 1) not in numbers


async def _numbers_reach_in(service: Bench, term: int, n: int) -> bool:
    return any(beat.term == term and beat.n >= n for _, _, beat in await service.beats())


async def test_no_beat_while_the_service_withholds_it(service: Bench) -> None:
    open_ = False
    service.relay(gate=lambda: open_)
    k = key()
    await service.publish(k)
    await service.no_marks()
    await asyncio.sleep(4 * BEAT)
    assert await service.beats() == []
    open_ = True
    await until(lambda: _numbers_reach(service, 2), "no beats after the gate opened")


async def test_no_beat_while_marks_cannot_be_published(
    service: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker takes beats but refuses records: then there must be none either."""
    refuse = True

    async def deliver(producer: object, messages: list[OutboxMessage]) -> Delivered:
        if refuse and messages and messages[0].key != control.BEAT.encode():
            return Delivered([None] * len(messages), TimeoutError())
        return await batch_send.deliver(producer, messages)

    monkeypatch.setattr(express_lane, "deliver", deliver)
    k = key()
    await service.publish(k)
    service.relay()
    await asyncio.sleep(1.5)
    assert await service.beats() == []
    refuse = False
    await service.no_marks()
    await until(lambda: _numbers_reach(service, 2), "no beats")


async def test_beats_carry_what_was_taken_in_and_the_generation(service: Bench) -> None:
    topic, ident = "company.a.decisions.v1", UUID(int=5)
    await service.pool.execute(
        "INSERT INTO positions VALUES ($1, 0, $2, 17), ($1, 4, $2, 3), ('other', 0, $2, 9)", topic, ident
    )
    async with service.pool.acquire() as conn:
        assert await backfills.request(conn, service.family.name) == 1
        assert await backfills.request(conn, service.family.name) == 2
    service.relay(Lane.EXPRESS, taken={service.family.name: [topic]})
    await until(lambda: _numbers_reach(service, 1), "no beats")
    _, _, beat = (await service.beats())[0]
    assert beat.generation == 2, "from the request on gates stay shut"
    assert beat.taken == (control.Taken(topic=topic, topic_id=ident, offsets=(17, 0, 0, 0, 3, 0)),)


async def test_what_may_be_a_no_is_not_taken_in_while_it_is_in_quarantine(service: Bench) -> None:
    topic, ident, old = "company.a.decisions.v1", UUID(int=5), UUID(int=4)
    await service.pool.execute(
        "INSERT INTO positions VALUES ($1, 0, $2, 17), ($1, 1, $2, 8), ($1, 4, $2, 3)", topic, ident
    )

    async def aside(partition: int, offset: int, *, holds: bool, topic_id: UUID = ident) -> None:
        await service.pool.execute(
            """INSERT INTO quarantine (topic, topic_id, partition, "offset", timestamp_ms, reason, keyless, holds)
            VALUES ($1, $2, $3, $4, 0, 'x', false, $5)""",
            topic, topic_id, partition, offset, holds,
        )  # fmt: skip

    await aside(0, 12, holds=True)
    await aside(0, 14, holds=True)
    await aside(1, 2, holds=False)
    await aside(4, 1, holds=True, topic_id=old)
    service.relay(Lane.EXPRESS, taken={service.family.name: [topic]})

    async def told(*offsets: int) -> bool:
        beats = [beat for _, _, beat in await service.beats()]
        return bool(beats) and beats[-1].taken[0].offsets == offsets

    await until(lambda: told(12, 8, 0, 0, 3, 0), "a no in quarantine is passed over")
    quarantine = quarantine_of(service)
    rows = await quarantine.listed()
    await quarantine.discard(next(row.id for row in rows if row.offset == 12), by="a test")
    await until(lambda: told(14, 8, 0, 0, 3, 0), "it does not move on")
    await quarantine.discard(next(row.id for row in rows if row.offset == 14), by="a test")
    await until(lambda: told(17, 8, 0, 0, 3, 0), "it does not move on")
