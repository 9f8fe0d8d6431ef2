"""Where a decision is, from what was published and acknowledged: over instances, stores, lanes and exceptions."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from kielto.events.messages import Acknowledgement, Position, StoreException
from kielto.events.topics import Lane, permissions_of
from kielto.events.words import Channel, Reach
from kielto.service.postgres import transaction
from services.consents.use_cases.acknowledge import UnknownSubscriber, acknowledge
from services.consents.use_cases.locate import Location, Stage, UnknownDecision, locate, subscribers
from tests.integration.consents.world import Someone, World

PARTY = "company.kauppa"
IDS = {lane: uuid4() for lane in Lane}


class Log:
    """Publications as the relay writes them, and stores that acknowledge; time is the broker's."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ends = dict.fromkeys(Lane, 0)

    async def publish(self, who: Someone, lane: Lane = Lane.EXPRESS, party: str = PARTY) -> int:
        """The record as it stands now, at the next offset."""
        key = self.world.key(party, who)
        await self.world.pool.execute(
            'INSERT INTO publications (family, key, epoch, n, topic, topic_id, partition, "offset") '
            "SELECT family, key, epoch, n, $3, $4, 0, $5 FROM records WHERE family = $1 AND key = $2",
            party,
            key,
            permissions_of(party).topic(lane),
            IDS[lane],
            self.ends[lane],
        )
        await self.world.pool.execute("DELETE FROM marks WHERE family = $1 AND key = $2", party, key)
        self.ends[lane] += 1
        return self.ends[lane] - 1

    async def acknowledge(
        self,
        store: UUID,
        upto: int,
        *,
        lane: Lane = Lane.EXPRESS,
        subscriber: str = "kauppa-crm",
        at: datetime | None = None,
        instance: UUID | None = None,
        unreadable: Someone | None = None,
    ) -> None:
        topic = permissions_of(PARTY).topic(lane)
        exceptions: tuple[StoreException, ...] = ()
        if unreadable is not None:
            key = self.world.key(PARTY, unreadable)
            exceptions = (
                StoreException(topic=topic, partition=0, offset=upto - 1, key=key, reason="value: JSON"),
            )
        ack = Acknowledgement(
            subscriber=subscriber,
            instance=instance or store,
            generation=store,
            positions=(Position(topic=topic, topic_id=IDS[lane], partition=0, offset=upto),),
            exceptions=exceptions,
            claimed_at=datetime.now(UTC) + timedelta(days=9),
        )
        async with transaction(self.world.pool) as conn:
            await acknowledge(conn, self.world.context, PARTY, ack, at or datetime.now(UTC))

    async def where(self, decision: UUID, subscriber: str = "kauppa-crm") -> Location:
        found = await locate(self.world.pool, self.world.context, decision, None)
        return next(x for x in found if x.subscriber.id == subscriber)


@pytest.fixture
def log(world: World) -> Log:
    return Log(world)


async def test_from_acceptance_to_every_store(world: World, log: Log) -> None:
    who, crm = Someone(), uuid4()
    await world.know(who)
    await log.publish(who, Lane.BULK)
    ban = (await world.decide(world.by_id(who))).decision.id
    assert (await log.where(ban)).stage is Stage.UNPUBLISHED
    offset = await log.publish(who)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY
    await log.acknowledge(crm, offset)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY, "read up to it, not past it"
    applied_at = datetime.now(UTC) + timedelta(seconds=3)
    await log.acknowledge(crm, offset + 1, at=applied_at)
    await log.acknowledge(crm, offset + 5, at=applied_at + timedelta(seconds=1))
    where = await log.where(ban)
    assert (where.stage, where.applied_at, where.applied) == (Stage.APPLIED, applied_at, 1)
    assert (await log.where(ban, "kauppa-mail")).stage is Stage.ON_THE_WAY


async def test_overdue_by_the_groups_deadline(world: World, log: Log) -> None:
    who = Someone()
    await world.know(who)
    long_ago = datetime.now(UTC) - timedelta(seconds=61)
    ban = (await world.decide(world.by_id(who), received_at=long_ago)).decision.id
    assert (await log.where(ban)).stage is Stage.OVERDUE


async def test_the_slowest_live_store_counts(world: World, log: Log) -> None:
    who, fast, slow = Someone(), uuid4(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    now = datetime.now(UTC)
    await log.acknowledge(slow, offset, at=now)
    await log.acknowledge(fast, offset + 1, at=now)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY
    await log.acknowledge(slow, offset + 1, at=now + timedelta(seconds=2))
    where = await log.where(ban)
    assert where.applied_at == now + timedelta(seconds=2)


async def test_an_instance_that_is_gone_counts_no_more_but_the_last_one_does(world: World, log: Log) -> None:
    who, gone, live = Someone(), uuid4(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    await log.acknowledge(gone, offset, at=datetime.now(UTC) - timedelta(seconds=40))
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY
    await log.acknowledge(live, offset + 1)
    assert (await log.where(ban)).stage is Stage.APPLIED


async def test_a_store_that_was_emptied_takes_its_proof_back(world: World, log: Log) -> None:
    who, instance = Someone(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    await log.acknowledge(uuid4(), offset + 1, instance=instance)
    assert (await log.where(ban)).stage is Stage.APPLIED
    await log.acknowledge(uuid4(), 0, instance=instance)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY


async def test_either_lane_will_do_and_a_later_version_too(world: World, log: Log) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    first = (await world.decide(world.by_id(who), channels=(Channel.PHONE,))).decision.id
    second = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who, Lane.BULK)
    await log.acknowledge(store, offset + 1, lane=Lane.BULK)
    assert (await log.where(first)).stage is (await log.where(second)).stage is Stage.APPLIED


async def test_a_record_that_a_store_could_not_read_is_not_applied(world: World, log: Log) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    await log.acknowledge(store, offset + 1, unreadable=who)
    assert (await log.where(ban)).applied == 0
    await log.acknowledge(store, offset + 2)
    assert (await log.where(ban)).stage is Stage.APPLIED


async def test_what_changed_nothing_is_held_already(world: World, log: Log) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    await world.decide(world.by_id(who))
    offset = await log.publish(who)
    await log.acknowledge(store, offset + 1, at=datetime.now(UTC) - timedelta(seconds=2))
    again = (await world.decide(world.by_id(who))).decision.id
    assert (await log.where(again)).stage is Stage.HELD


async def test_only_those_to_whom_it_means_something(world: World, log: Log) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    ban = (await world.decide(world.by_id(who), reach=Reach.COMPANY, company="sahko")).decision.id
    found = await locate(world.pool, world.context, ban, None)
    assert [x.subscriber.id for x in found] == ["sahko-crm"]
    with pytest.raises(UnknownDecision):
        await locate(world.pool, world.context, ban, PARTY)


async def test_how_the_subscribers_stand(world: World, log: Log) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    await log.acknowledge(store, 0)
    long_ago = datetime.now(UTC) - timedelta(seconds=61)
    await world.decide(world.by_id(who), received_at=long_ago)

    async def standing() -> tuple[int, bool, int]:
        state = {s.id: state for s, state in await subscribers(world.pool, world.context, None)}["kauppa-crm"]
        return state.stores, state.missing_since is not None, state.overdue

    assert await standing() == (1, False, 1), "still in the outbox"
    offset = await log.publish(who)
    assert await standing() == (1, True, 1)
    await log.acknowledge(store, offset + 1)
    assert await standing() == (1, False, 0)
    never = {s.id: state for s, state in await subscribers(world.pool, world.context, None)}["kauppa-mail"]
    assert (never.stores, never.seen_at) == (0, None)


async def test_a_subscriber_of_another_party_says_nothing_here(world: World, log: Log) -> None:
    with pytest.raises(UnknownSubscriber):
        await log.acknowledge(uuid4(), 1, subscriber="sahko-crm")
