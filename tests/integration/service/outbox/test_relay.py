"""The relays against a real broker: what stands in the log, what is deleted, who leads."""

import asyncio
import random
from datetime import UTC, datetime
from uuid import UUID

import pytest

from kielto import kafka
from kielto.events import envelope
from kielto.events.messages import Audience
from kielto.events.records import Permissions
from kielto.events.topics import Lane, Topic, _retained
from kielto.events.words import Channel, Purpose
from kielto.service.database import pool
from kielto.service.outbox import bulk_lane, publish
from kielto.service.outbox.publish import RecordChange
from kielto.service.support import tracing
from tests.integration.service.faults import unreliable
from tests.integration.service.support import Bench, TopicEntry, key, read_log, rising
from tests.waiting import until


def _records(entries: list[TopicEntry], k: str) -> list[str]:
    return [e.version for e in entries if e.key == k]


async def test_both_lanes_publish_and_delete_their_marks(service: Bench) -> None:
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    a, b = key(), key()
    await service.publish(a, express=True)
    await service.publish(b, express=False)
    await service.no_marks()
    assert _records(await service.log(Lane.EXPRESS), a) == ["1.1"]
    assert _records(await service.log(Lane.BULK), b) == ["1.1"]
    rows = await service.pool.fetch("SELECT * FROM publications ORDER BY topic")
    ids = {row["topic"]: row["topic_id"] for row in rows}
    assert {(r["key"], r["epoch"], r["n"]) for r in rows} == {(a, 1, 1), (b, 1, 1)}
    entry = next(e for e in await service.log(Lane.EXPRESS) if e.key == a)
    place = next((r["partition"], r["offset"]) for r in rows if r["key"] == a)
    assert place == (entry.partition, entry.offset)
    producer = kafka.producer(service.bootstrap)
    await producer.start()
    assert ids == await kafka.topic_ids(producer, list(service.topics))
    await producer.stop()


async def test_bytes_are_those_of_the_envelope(service: Bench) -> None:
    service.relay()
    k = key()
    record = Permissions(version="1.1", subject=k, numbers=("ä".encode().hex().rjust(64, "0"),))
    async with pool.transaction(service.pool) as conn:
        await publish.publish(conn, [RecordChange(service.family.name, k, record, express=True)])
    await service.no_marks()
    entry = next(e for e in await service.log() if e.key == k)
    expected = envelope.encode(record, key=k, source="consents")
    assert entry.value == expected.value
    varying = {"ce_id", "ce_time", "traceparent"}
    assert {n: v for n, v in entry.headers.items() if n not in varying} == {
        n: v.decode() for n, v in expected.headers if n not in varying
    }


async def test_a_burst_on_one_key_coalesces_and_never_goes_down(service: Bench) -> None:
    k = key()
    for n in range(1, 30):
        await service.publish(k, str(n))
    service.relay()
    for n in range(30, 60):
        await service.publish(k, str(n))
    await service.no_marks()
    versions = _records(await service.log(), k)
    assert rising(versions)
    assert versions[-1] == "1.59"
    assert len(versions) < 59


async def test_a_standby_takes_over_and_one_alone_leads(service: Bench) -> None:
    first = service.relay()
    await until(lambda: first.leads, "nobody leads")
    second = service.relay()
    await asyncio.sleep(0.7)
    assert not second.leads
    first.stop()
    await until(lambda: second.leads, "the standby does not take over")
    k = key()
    await service.publish(k)
    await service.no_marks()
    assert _records(await service.log(), k) == ["1.1"]


async def test_the_leaders_connection_is_cut(service: Bench) -> None:
    """PostgreSQL lets go of the lock; the leader notices, although it may wait for the broker just then."""
    relay = service.relay()
    await until(lambda: _beats_of(service, 1), "nobody beats")
    await service.pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE '%relay express%' AND datname = current_database()"
    )
    await until(lambda: not relay.leads, "it goes on without its lock")
    await until(lambda: relay.leads, "it does not lead again")
    await until(lambda: _beats_of(service, 2), "a new leadership has a new term")


async def _beats_of(service: Bench, terms: int) -> bool:
    return len({beat.term for _, _, beat in await service.beats()}) == terms


async def test_a_mark_that_commits_late_is_found(service: Bench) -> None:
    relay = service.relay()
    await until(lambda: relay.leads, "nobody leads")
    late, early = key(), key()
    async with service.pool.acquire() as conn:
        transaction = conn.transaction()
        await transaction.start()
        await publish.publish(
            conn,
            [RecordChange(service.family.name, late, Permissions(version="0.0", subject=late), express=True)],
        )
        await service.publish(early)
        await until(lambda: _in_log(service, early), "the later mark waits for the earlier one")
        await until(lambda: _deleted(service), "it is deleted too")
        await transaction.commit()
    await service.no_marks()
    assert _records(await service.log(), late) == ["1.1"]


async def _deleted(service: Bench) -> bool:
    return await service.marks() == 0  # the late one is not visible yet


async def _in_log(service: Bench, k: str) -> bool:
    return bool(_records(await service.log(), k))


@pytest.mark.parametrize("faulty", [False, True])
async def test_reports_keep_their_order(
    service: Bench, faulty: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With faults some are doubled, none overtakes another or is lost."""
    if faulty:
        monkeypatch.setattr(bulk_lane, "deliver", unreliable(random.Random(5), 12))
    topic = Topic(f"{service.family.name}.audiences.v1", "marketing", (), (Audience,), _retained(3_600_000))
    await kafka.create_topics(service.bootstrap, [topic])
    service.relay(Lane.BULK)
    k = key()
    sent = [UUID(int=n) for n in range(300)]
    for start in range(0, 300, 50):
        events = [
            (
                k,
                Audience(
                    campaign=ident,
                    action="recall",
                    subject=k,
                    purpose=Purpose.OWN_MARKETING,
                    channel=Channel.SMS,
                    at=datetime.now(UTC),
                ),
            )
            for ident in sent[start : start + 50]
        ]
        async with pool.transaction(service.pool) as conn:
            await publish.report_many(conn, topic.name, events, source="marketing")
    await until(lambda: _no_reports(service), "reports are left")
    raw = await read_log(service.bootstrap, topic)
    came = [e.event.campaign for e in raw]
    assert list(dict.fromkeys(came)) == sent
    assert (len(came) > len(sent)) == faulty


async def _no_reports(service: Bench) -> bool:
    return bool(await service.pool.fetchval("SELECT count(*) = 0 FROM reports"))


async def test_a_party_gets_a_fresh_trace_and_only_we_can_join_it(service: Bench) -> None:
    service.relay()
    k, ours = key(), tracing.fresh()
    async with pool.transaction(service.pool) as conn:
        change = RecordChange(service.family.name, k, Permissions(version="0.0", subject=k), express=True)
        await publish.publish(conn, [change], traceparent=ours)
    await service.no_marks()
    entry = next(e for e in await service.log() if e.key == k)
    theirs = entry.headers["traceparent"]
    assert tracing.trace_id(theirs) != tracing.trace_id(ours)
    row = await service.pool.fetchrow("SELECT traceparent, trace FROM publications WHERE key = $1", k)
    assert row is not None
    assert (row["traceparent"], row["trace"]) == (ours, tracing.trace_id(theirs))
