"""A company may cite what bears on its own customer. All else is to it as if nobody had ever said it."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from kielto.events.party import Party
from kielto.events.words import Act, Channel, Purpose, Reach
from services.consents.model.check import DecisionError
from services.consents.model.ref import NamedSubject
from tests.integration.consents.test_api import http  # noqa: F401 - a fixture
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.tokens import as_

KAUPPA = "company.kauppa"
YES: dict[str, Any] = {
    "reach": Reach.COMPANY,
    "company": "kauppa",
    "purposes": (Purpose.OWN_MARKETING,),
    "channels": (Channel.PHONE,),
}


async def foreign(world: ConsentsWorld) -> tuple[Someone, dict[str, UUID]]:
    """A customer of both companies, and nos that do not bear on her as kauppa's customer."""
    who, other = Someone(("kauppa", "sahko")), Someone(("sahko",))
    secret = "+358409998887"
    await world.know(other)
    points = world.record(who).points
    phone = points[0].model_copy(
        update={"id": uuid4(), "digest": world.by_phone(secret).ref[2:], "holders": ("sahko",)}
    )
    await world.know(who, points=(*points, phone))
    told = {
        "of sahko alone": await world.decide(world.by_id(who), reach=Reach.COMPANY, company="sahko"),
        "of another person": await world.decide(world.by_id(other)),
        "at an address that kauppa does not have": await world.decide(world.by_phone(secret)),
    }
    return who, {why: outcome.decision.id for why, outcome in told.items()}


async def test_over_http_a_foreign_ban_is_answered_as_one_that_never_was(
    http: httpx.AsyncClient,  # noqa: F811
    world: ConsentsWorld,
) -> None:
    who, nos = await foreign(world)
    own = (await world.decide(world.by_id(who))).decision.id
    body = {**YES, "act": "lifting", "subject": {"company": "kauppa", "number": who.number("kauppa")[7:]}}

    async def cite(lift: str) -> tuple[int, Any]:
        answer = await http.post(
            "/consents/decisions", json={**body, "lifts": [lift]}, headers=as_("desk@kauppa")
        )
        return answer.status_code, answer.json() if answer.status_code != 201 else None

    made_up = await cite("0" * 64)
    assert made_up[0] == 422
    assert await cite(str(uuid4())) == made_up
    for why, no in nos.items():
        assert await cite(world.keys.pairwise(KAUPPA, no)) == made_up, why
        assert await cite(world.keys.pairwise("company.sahko", no)) == made_up, why
        assert await cite(str(no)) == made_up, why
    assert await cite(world.keys.pairwise(KAUPPA, own)) == (201, None)


@pytest.mark.parametrize("by_topic", [True, False])
async def test_on_the_topic_a_foreign_reference_is_answered_as_one_that_never_was(
    world: ConsentsWorld, by_topic: bool
) -> None:
    who, nos = await foreign(world)
    own = (await world.decide(world.by_id(who))).decision.id
    subject: NamedSubject = NamedSubject.of_id(KAUPPA, world.key(KAUPPA, who))

    async def cite(lift: str) -> str:
        try:
            await world.decide(subject, Act.LIFTING, party=KAUPPA, by_topic=by_topic, lifts=(lift,), **YES)
        except DecisionError as error:
            return str(error)
        return "taken"

    made_up = await cite("0" * 64)
    assert made_up.startswith("lifts: ")
    for why, no in nos.items():
        assert await cite(world.keys.pairwise(KAUPPA, no)) == made_up, why
    assert await cite(world.keys.pairwise(KAUPPA, own)) == "taken"


async def test_a_yes_for_an_address_that_only_another_company_has_is_for_nobody(world: ConsentsWorld) -> None:
    who = Someone(("kauppa", "sahko"))
    points = tuple(p.model_copy(update={"holders": ("sahko",)}) for p in world.record(who).points)
    await world.know(who, points=points)
    with pytest.raises(DecisionError, match="subject"):
        await world.decide(world.by_phone(who.phone), Act.CONSENT, party=KAUPPA, **YES)
    outcome = await world.decide(world.by_phone(who.phone), party=KAUPPA)
    assert outcome.pending_for(Party(KAUPPA))
    assert not outcome.pending_for(Party("company.sahko"))
