"""What a party is told on its results topic of each message of its decisions topic."""

from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from kielto.events.envelope import Read
from kielto.events.messages import Decision, DecisionSubject
from kielto.events.results import DecisionResult, ResultStatus
from kielto.events.topics import decisions, results
from kielto.events.words import Act, Channel, Purpose, Reach
from kielto.service.database.pool import Pool, transaction
from kielto.service.inbox.handlers import Meta, PermanentError
from services.consents.consumers.decisions import DecisionsConsumer
from services.consents.use_cases.context import Context, decision_id
from tests.integration.consents.world import ConsentsWorld, Someone

PARTY = "company.kauppa"
YES: dict[str, Any] = {"act": Act.CONSENT, "purposes": (Purpose.OWN_MARKETING,), "channels": (Channel.SMS,)}


class CompanyDesk:
    def __init__(self, world: ConsentsWorld, pool: Pool, context: Context) -> None:
        self.world, self.pool, self.handler, self.offset = world, pool, DecisionsConsumer(context, PARTY), 0

    async def say(self, subject: DecisionSubject, **given: Any) -> Decision:
        said = Decision(
            **({"id": uuid4(), "act": Act.BAN, "said_at": "2026-01-15T09:30:00Z"} | given), subject=subject
        )
        await self.send(said)
        return said

    async def send(self, said: Decision) -> None:
        self.offset += 1
        meta = Meta(decisions(PARTY), UUID(int=1), 2, self.offset, 1_800_000_000_000)
        async with transaction(self.pool) as conn:
            await self.handler.handle(conn, Read(str(said.id), said), meta)

    async def told(self) -> list[DecisionResult]:
        rows = await self.pool.fetch("SELECT topic, key, value FROM reports ORDER BY id")
        assert {row["topic"] for row in rows} <= {results(PARTY)}
        found = [DecisionResult(**orjson.loads(row["value"])) for row in rows]
        assert [row["key"] for row in rows] == [str(result.id) for result in found]
        return found


@pytest.fixture
def desk(world: ConsentsWorld, pool: Pool, context: Context) -> CompanyDesk:
    return CompanyDesk(world, pool, context)


async def test_each_message_has_a_result(desk: CompanyDesk, world: ConsentsWorld) -> None:
    who = Someone()
    await world.know(who)
    mine = DecisionSubject(id=world.key(PARTY, who))
    ban = await desk.say(mine)
    await desk.send(ban)
    wide = await desk.say(mine, reach=Reach.PARTNER, partner="nobody")
    no_yes = await desk.say(mine, **YES | {"reach": Reach.GROUP})
    found = await desk.told()
    assert [(r.id, r.status) for r in found] == [
        (ban.id, ResultStatus.TAKEN),
        (ban.id, ResultStatus.REPEATED),
        (wide.id, ResultStatus.WIDENED),
        (no_yes.id, ResultStatus.REFUSED),
    ]
    assert [(r.partition, r.offset) for r in found] == [(2, n) for n in range(1, 5)]
    reference = world.keys.pairwise(PARTY, decision_id(PARTY, ban.id))
    assert [r.decision for r in found[:2]] == [reference] * 2
    assert found[3].decision is None
    assert [[why.field for why in r.reasons] for r in found[2:]] == [["partner"], ["reach"]]


@pytest.mark.parametrize("given", [{}, YES, YES | {"act": Act.LIFTING, "lifts": ("f" * 64,)}])
async def test_a_result_does_not_tell_a_stranger_from_anothers_customer(
    desk: CompanyDesk, world: ConsentsWorld, given: dict[str, Any]
) -> None:
    theirs, nobody = Someone(("sahko",)), Someone(("sahko",))
    await world.know(theirs)
    await world.decide(world.by_id(theirs))
    for who in (theirs, nobody):
        await desk.say(DecisionSubject(id=world.key(PARTY, who)), **given)
    told = [
        r.model_dump(exclude={"id", "offset", "at", "decision"}) | {"named": r.decision is not None}
        for r in await desk.told()
    ]
    assert told[0] == told[1]


async def test_a_no_that_cannot_be_taken_is_still_an_operators(
    desk: CompanyDesk, world: ConsentsWorld
) -> None:
    """It may be a ban: it is kept aside and holds, as before."""
    desk.handler = DecisionsConsumer(world.context, "partner.matkat")
    with pytest.raises(PermanentError) as refused:
        await desk.say(DecisionSubject(number="a1" * 32))
    assert refused.value.holds
    assert await desk.told() == []
