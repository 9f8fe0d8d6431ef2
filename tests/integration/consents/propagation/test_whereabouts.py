"""Where a decision is, from what was published and acknowledged: over instances, stores, lanes and exceptions."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.events.messages import Acknowledgement, Position, StoreException
from kielto.events.topics import Lane, permissions_of
from kielto.events.words import Channel, Reach
from kielto.service.database.pool import transaction
from services.consents.commands.subscribers import command
from services.consents.store.propagation import acks
from services.consents.use_cases.context import UnknownDecisionError, UnknownSubscriberError
from services.consents.use_cases.propagation.acknowledge import acknowledge
from services.consents.use_cases.propagation.overdue import SubscriberStatus, statuses
from services.consents.use_cases.propagation.whereabouts import Location, Stage, locate
from tests.integration.consents.world import ConsentsWorld, Someone

PARTY = "company.kauppa"
IDS = {lane: uuid4() for lane in Lane}
LIFE = 35
"""Seconds of silence, while others speak, after which an instance of `stale_seconds` 30 is gone."""


class PublicationLog:
    """Publications as the relay writes them, and stores that acknowledge; time is the broker's."""

    def __init__(self, world: ConsentsWorld) -> None:
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
        keyless: int | None = None,
        topic_id: UUID | None = None,
        end: int = 1 << 40,
    ) -> None:
        """`end`: of the topic, by the broker; `topic_id`: of a topic that is no more. `keyless`: the offset of a record
        whose key cannot be read.
        """
        topic = permissions_of(PARTY).topic(lane)
        exceptions: tuple[StoreException, ...] = ()
        if unreadable is not None:
            key = self.world.key(PARTY, unreadable)
            exceptions = (
                StoreException(
                    topic=topic, partition=0, offset=max(upto - 1, 0), key=key, reason="value: JSON"
                ),
            )
        if keyless is not None:
            exceptions += (StoreException(topic=topic, partition=0, offset=keyless, reason="key: an id"),)
        ack = Acknowledgement(
            subscriber=subscriber,
            instance=instance or store,
            generation=store,
            positions=(Position(topic=topic, topic_id=topic_id or IDS[lane], partition=0, offset=upto),),
            exceptions=exceptions,
            claimed_at=datetime.now(UTC) + timedelta(days=9),
        )
        ends = {(IDS[lane], 0): end}
        async with transaction(self.world.pool) as conn:
            await acknowledge(conn, self.world.context, PARTY, ack, at or datetime.now(UTC), ends)

    async def where(self, decision: UUID, subscriber: str = "kauppa-crm") -> Location:
        found = await locate(self.world.context, decision, None)
        return next(x for x in found if x.subscriber == subscriber)


@pytest.fixture
def log(world: ConsentsWorld) -> PublicationLog:
    return PublicationLog(world)


async def test_from_acceptance_to_every_store(world: ConsentsWorld, log: PublicationLog) -> None:
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


async def test_overdue_by_the_groups_deadline(world: ConsentsWorld, log: PublicationLog) -> None:
    who = Someone()
    await world.know(who)
    long_ago = datetime.now(UTC) - timedelta(seconds=61)
    ban = (await world.decide(world.by_id(who), received_at=long_ago)).decision.id
    assert (await log.where(ban)).stage is Stage.OVERDUE


async def test_the_slowest_live_store_counts(world: ConsentsWorld, log: PublicationLog) -> None:
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


async def test_an_instance_that_is_gone_counts_no_more(world: ConsentsWorld, log: PublicationLog) -> None:
    who, gone, live = Someone(), uuid4(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    now = datetime.now(UTC)
    await log.acknowledge(gone, offset, at=now, unreadable=who)
    await log.acknowledge(live, offset + 1, at=now)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY
    for seconds in range(5, 31, 5):
        await log.acknowledge(live, offset + 1, at=now + timedelta(seconds=seconds))
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY, "it may only be slow to speak"
    assert (await standing(world)).exceptions == 1
    await log.acknowledge(live, offset + 1, at=now + timedelta(seconds=LIFE + 1))
    assert (await log.where(ban)).stage is Stage.APPLIED
    state = await standing(world)
    assert (state.stores, state.exceptions) == (1, 0)
    await log.acknowledge(gone, offset, at=now + timedelta(seconds=LIFE + 2), unreadable=who)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY, "it lives after all"


async def test_after_an_outage_the_first_to_speak_does_not_speak_for_the_others(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who, fast, slow = Someone(), uuid4(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    for store in (fast, slow):
        await log.acknowledge(store, offset, at=long_ago)
    await log.acknowledge(fast, offset + 1)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY


async def test_a_subscriber_that_is_down_is_late_not_without_proof(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    await log.acknowledge(store, offset + 1, at=datetime.now(UTC) - timedelta(days=3))
    assert (await log.where(ban)).stage in (Stage.APPLIED, Stage.HELD)
    assert (await standing(world)).stores == 1


async def test_an_instance_ends_by_command(world: ConsentsWorld, log: PublicationLog) -> None:
    who, gone, live = Someone(), uuid4(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    await log.acknowledge(gone, offset)
    await log.acknowledge(live, offset + 1)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY
    async with transaction(world.pool) as conn:
        assert await acks.end(conn, "kauppa-crm", gone)
        assert not await acks.end(conn, "kauppa-mail", live)
    assert (await log.where(ban)).stage is Stage.APPLIED


async def test_a_store_that_was_emptied_takes_its_proof_back(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who, instance = Someone(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    await log.acknowledge(uuid4(), offset + 1, instance=instance)
    assert (await log.where(ban)).stage is Stage.APPLIED
    await log.acknowledge(uuid4(), 0, instance=instance)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY


async def test_a_store_that_was_restored_with_its_spool_takes_its_proof_back(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    """It has the name that it had; that its positions go back shows it. What is read again has the same proof again."""
    who, crm, began = Someone(), uuid4(), datetime.now(UTC)
    await world.know(who)
    await log.publish(who, Lane.BULK)
    ban = (await world.decide(world.by_id(who))).decision.id
    upto = await log.publish(who) + 1
    said = [(upto - 1, 0, Stage.ON_THE_WAY), (upto, 1, Stage.APPLIED)]
    restored = [(upto - 1, second, Stage.ON_THE_WAY) for second in (2, 3)]
    for position, second, stage in [*said, *said, *restored, *said, *restored]:
        await log.acknowledge(crm, position, at=began + timedelta(seconds=second))
        assert (await log.where(ban)).stage is stage
    caught_up = began + timedelta(seconds=4)
    await log.acknowledge(crm, upto, at=caught_up)
    where = await log.where(ban)
    assert (where.stage, where.applied_at) == (Stage.APPLIED, caught_up)


async def test_the_commands(
    world: ConsentsWorld, log: PublicationLog, capsys: pytest.CaptureFixture[str]
) -> None:
    store = uuid4()
    await log.acknowledge(store, 1)

    async def run(*words: str) -> tuple[int, str]:
        code = await command(world.context, words)
        return code, capsys.readouterr().out

    code, out = await run("list")
    assert (code, out.split("\t")[:3]) == (0, ["kauppa-crm", str(store), "live"])
    assert (await run("end", "kauppa-crm", "x"))[0] == 2
    assert await run("end", "kauppa-crm", str(uuid4())) == (1, "not found\n")
    assert await run("end", "kauppa-crm", str(store)) == (0, "ended\n")
    assert await run("list") == (0, "")


async def test_either_lane_will_do_and_a_later_version_too(world: ConsentsWorld, log: PublicationLog) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    first = (await world.decide(world.by_id(who), channels=(Channel.PHONE,))).decision.id
    second = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who, Lane.BULK)
    await log.acknowledge(store, offset + 1, lane=Lane.BULK)
    assert (await log.where(first)).stage is (await log.where(second)).stage is Stage.APPLIED


async def test_a_record_that_a_store_could_not_read_is_not_applied(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    await log.acknowledge(store, offset + 1, unreadable=who)
    assert (await log.where(ban)).applied == 0
    await log.acknowledge(store, offset + 2)
    assert (await log.where(ban)).stage is Stage.APPLIED


async def test_what_changed_nothing_is_held_already(world: ConsentsWorld, log: PublicationLog) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    await world.decide(world.by_id(who))
    offset = await log.publish(who)
    await log.acknowledge(store, offset + 1, at=datetime.now(UTC) - timedelta(seconds=2))
    again = (await world.decide(world.by_id(who))).decision.id
    assert (await log.where(again)).stage is Stage.HELD


async def test_what_changed_something_was_not_held_whatever_the_brokers_clock_says(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who, crm = Someone(), uuid4()
    await world.know(who)
    await log.publish(who, Lane.BULK)
    ban = (await world.decide(world.by_id(who))).decision
    upto = await log.publish(who) + 1
    behind = ban.received_at - timedelta(milliseconds=20)
    await log.acknowledge(crm, upto, at=behind)
    where = await log.where(ban.id)
    assert (where.stage, where.applied_at) == (Stage.APPLIED, behind)


async def test_only_those_to_whom_it_means_something(world: ConsentsWorld, log: PublicationLog) -> None:
    who = Someone(("kauppa", "sahko"))
    await world.know(who)
    ban = (await world.decide(world.by_id(who), reach=Reach.COMPANY, company="sahko")).decision.id
    found = await locate(world.context, ban, None)
    assert [x.subscriber for x in found] == ["sahko-crm"]
    with pytest.raises(UnknownDecisionError):
        await locate(world.context, ban, PARTY)


async def standing(world: ConsentsWorld, subscriber: str = "kauppa-crm") -> SubscriberStatus:
    found = await statuses(world.context, None)
    return next(one for one in found if one.id == subscriber)


async def overdue(world: ConsentsWorld, subscriber: str = "kauppa-crm") -> int:
    return (await standing(world, subscriber)).overdue


async def long_ago(world: ConsentsWorld, who: Someone, **given: Any) -> UUID:
    """A ban that should be everywhere by now."""
    received_at = datetime.now(UTC) - timedelta(seconds=61)
    return (await world.decide(world.by_id(who), received_at=received_at, **given)).decision.id


async def test_how_the_subscribers_stand(world: ConsentsWorld, log: PublicationLog) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    await log.acknowledge(store, 0)
    await long_ago(world, who)

    async def stands() -> tuple[int, bool, int]:
        state = await standing(world)
        return state.stores, state.missing_since is not None, state.overdue

    assert await stands() == (1, False, 1), "still in the outbox"
    offset = await log.publish(who)
    assert await stands() == (1, True, 1)
    await log.acknowledge(store, offset + 1)
    assert await stands() == (1, False, 0)
    never = await standing(world, "kauppa-mail")
    assert (never.stores, never.seen_at, never.overdue) == (0, None, 1), "never seen is late as well"


async def test_a_partition_that_was_never_acknowledged_is_missing(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    await long_ago(world, who)
    offset = await log.publish(who)
    await log.acknowledge(store, 100, lane=Lane.BULK)
    assert await overdue(world) == 1
    await log.acknowledge(store, offset + 1)
    assert await overdue(world) == 0


async def test_an_unreadable_key_counts_against_its_whole_partition(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    before, behind, store = Someone(), Someone(), uuid4()
    await world.know(before, behind)
    bans = [await long_ago(world, who) for who in (before, behind)]
    await log.publish(before)
    poison = log.ends[Lane.EXPRESS]
    log.ends[Lane.EXPRESS] += 1
    offset = await log.publish(behind)
    await log.acknowledge(store, offset + 1, keyless=poison)
    assert [(await log.where(ban)).applied for ban in bans] == [1, 0]
    assert await overdue(world) == 1
    await log.acknowledge(store, offset + 1)
    assert [(await log.where(ban)).applied for ban in bans] == [1, 1]
    assert await overdue(world) == 0


async def test_an_unreadable_record_is_overdue_until_it_is_read(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    await long_ago(world, who)
    offset = await log.publish(who)
    await log.acknowledge(store, offset + 1, unreadable=who)
    assert await overdue(world) == 1
    await log.acknowledge(store, offset + 1)
    assert await overdue(world) == 0


async def test_what_two_decisions_made_is_published_once_and_both_are_missed(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    await log.acknowledge(store, 0)
    for channels in ((Channel.PHONE,), (Channel.EMAIL,)):
        await long_ago(world, who, channels=channels)
    await log.publish(who)
    assert await overdue(world) == 2


async def test_what_is_published_again_was_held_before(world: ConsentsWorld, log: PublicationLog) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    await long_ago(world, who)
    offset = await log.publish(who)
    await log.acknowledge(store, offset + 1)
    await log.publish(who, Lane.BULK)
    state = await standing(world)
    assert (state.overdue, state.missing_since) == (0, None)


async def test_a_decision_that_waited_is_late_from_when_it_came_to_bear(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who = Someone()
    ban = await world.decide(world.by_id(who), received_at=datetime.now(UTC) - timedelta(days=30))
    await world.know(who)
    assert (await log.where(ban.decision.id)).stage is Stage.UNPUBLISHED
    assert await overdue(world) == 0
    await world.pool.execute("UPDATE decision_records SET since = since - interval '61 seconds'")
    assert (await log.where(ban.decision.id)).stage is Stage.OVERDUE
    assert await overdue(world) == 1


async def test_a_subscriber_of_another_party_says_nothing_here(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    with pytest.raises(UnknownSubscriberError):
        await log.acknowledge(uuid4(), 1, subscriber="sahko-crm")


@pytest.mark.parametrize("beyond", [1, 1000, 2**62, 2**63, 2**80])
async def test_what_is_claimed_beyond_the_end_proves_nothing_to_come(
    world: ConsentsWorld, log: PublicationLog, beyond: int
) -> None:
    """It counts up to the end, and is listed at the subscriber."""
    first, second, crm = Someone(), Someone(), uuid4()
    await world.know(first, second)
    for who in (first, second):
        await log.publish(who, Lane.BULK)
    ban = (await world.decide(world.by_id(first))).decision.id
    offset = await log.publish(first)
    await log.acknowledge(crm, offset + 1 + beyond, end=offset + 1)
    assert (await log.where(ban)).stage is Stage.APPLIED
    later = (await world.decide(world.by_id(second))).decision.id
    offset = await log.publish(second)
    assert (await log.where(later)).stage is Stage.ON_THE_WAY
    assert await claims(world) == {"kauppa-crm": 1, "kauppa-mail": 0}
    await log.acknowledge(crm, offset + 1, end=offset + 1)
    assert (await log.where(later)).stage is Stage.APPLIED
    assert await claims(world) == {"kauppa-crm": 1, "kauppa-mail": 0}


async def test_a_claim_in_a_topic_that_is_no_more_counts_up_to_what_was_published_there(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who, crm = Someone(), uuid4()
    await world.know(who)
    await log.publish(who, Lane.BULK)
    for topic_id, upto in ((uuid4(), None), (IDS[Lane.BULK], 1)):
        await log.acknowledge(crm, 500, topic_id=topic_id)
        held = "SELECT upto FROM ack_positions WHERE topic_id = $1"
        assert await world.pool.fetchval(held, topic_id) == upto
    assert (await claims(world))["kauppa-crm"] == 2


async def test_positions_that_go_down_after_a_claim_beyond_the_end(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    """The claim is as good as the end; below it the store was restored, as ever."""
    who, crm = Someone(), uuid4()
    await world.know(who)
    await log.publish(who, Lane.BULK)
    ban = (await world.decide(world.by_id(who))).decision.id
    offset = await log.publish(who)
    await log.acknowledge(crm, 10_000, end=offset + 1)
    assert (await log.where(ban)).stage is Stage.APPLIED
    await log.acknowledge(crm, offset, end=offset + 1)
    assert (await log.where(ban)).stage is Stage.ON_THE_WAY


async def claims(world: ConsentsWorld) -> dict[str, int]:
    found = await statuses(world.context, PARTY)
    return {one.id: one.claims_beyond_end for one in found}
