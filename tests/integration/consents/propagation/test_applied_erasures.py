"""When an erased person's records leave the bulk topics: once every store has the erasure, or after the deadline."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from kielto.events.topics import Lane, permissions_of
from kielto.service.database.pool import Conn
from kielto.service.outbox import tombstones
from kielto.service.outbox.tombstones import ErasedRecord
from services.consents.store.propagation import acks
from services.consents.use_cases.propagation.prune import deadlines
from tests.integration.consents.conftest import GROUP
from tests.integration.consents.propagation.test_whereabouts import PARTY, PublicationLog
from tests.integration.consents.world import ConsentsWorld, Someone, erased


async def write_tombstones_of(world: ConsentsWorld, later: float = 0) -> list[tuple[str, str]]:
    """Topic and key of each tombstone that is queued now, or so many seconds later."""

    async def applied(conn: Conn, waiting: Sequence[ErasedRecord]) -> set[tuple[str, str]]:
        return await acks.applied_erasures(conn, waiting, GROUP.subscribers)

    at = datetime.now(UTC) + timedelta(seconds=later)
    await tombstones.write(world.pool, deadlines(GROUP), at, applied)
    rows = await world.pool.fetch("DELETE FROM reports RETURNING topic, key, value")
    assert all(row["value"] is None for row in rows)
    return sorted((row["topic"], row["key"]) for row in rows)


async def test_when_every_store_of_every_subscriber_has_it(world: ConsentsWorld) -> None:
    log, who, crm, mail, mail2 = PublicationLog(world), Someone(), uuid4(), uuid4(), uuid4()
    await world.know(who)
    await log.publish(who, Lane.BULK)
    who.n += 1
    await world.take_in([erased(who)])
    assert await write_tombstones_of(world) == [], "its marks wait"
    offset = await log.publish(who)
    await log.acknowledge(crm, offset + 1)
    assert await write_tombstones_of(world) == [], "nobody has heard of the other subscriber"
    await log.acknowledge(mail, offset + 1, subscriber="kauppa-mail")
    await log.acknowledge(mail2, offset, subscriber="kauppa-mail")
    assert await write_tombstones_of(world) == [], "read up to it, not past it"
    await log.acknowledge(mail2, offset + 1, subscriber="kauppa-mail")
    assert await write_tombstones_of(world) == [(permissions_of(PARTY).bulk, world.key(PARTY, who))]
    assert await write_tombstones_of(world) == []


async def test_the_deadline_and_our_own_record(world: ConsentsWorld) -> None:
    log, who = PublicationLog(world), Someone()
    await world.know(who)
    who.n += 1
    await world.take_in([erased(who)])
    await log.publish(who)
    await world.pool.execute("DELETE FROM marks")
    assert await write_tombstones_of(world, later=50) == []
    assert await write_tombstones_of(world, later=70) == [
        (permissions_of(PARTY).bulk, world.key(PARTY, who)),
        ("consents.state.v1", str(who.id)),
    ]
