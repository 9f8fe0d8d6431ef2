"""The gate of a subscriber and the clearance of the server give one answer about the same records."""

import json
from typing import Any

import httpx
import pytest

from kielto.events.party import Party
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS
from kielto.events.words import Act, Channel
from kielto.subscriber import Question
from kielto.subscriber.gate.gate import FollowedParty, Gate
from kielto.subscriber.gate.local_denials import Denials
from tests.integration.consents.clearances.test_clearances import Client, client, reasons
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.unit.subscriber.logs import Script, snapshot

__all__ = ["client"]
PHONE = "+358407654321"


@pytest.fixture
def http(client: Client) -> httpx.AsyncClient:
    return client()


async def gate_of(world: ConsentsWorld, party: str = "company.kauppa") -> Gate:
    """Of a subscriber that has applied what the database would publish now."""
    keys = {n: bytes.fromhex(key) for n, key in world.keys._file.point_keys[party].items()}
    script = Script()
    for partition in range(PARTITIONS):
        script.bulk(snapshot(), partition=partition)
    script.fresh(10.0, 1, range(PARTITIONS))
    for row in await world.pool.fetch("SELECT epoch, n, body FROM records WHERE family = $1", party):
        record = {**json.loads(row["body"]), "version": f"{row['epoch']}.{row['n']}"}
        script.bulk(Permissions.model_validate(record))
    return Gate(
        FollowedParty(Party(party), keys), script.follower, Denials(f"{party}.decisions.v1"), lambda: 10.0
    )


async def both(world: ConsentsWorld, http: httpx.AsyncClient, **who: Any) -> tuple[str, str]:
    gate = await gate_of(world)
    (cleared,) = await reasons(http, who)
    return gate.may(Question("own_marketing", "phone", **who)).reason.value, cleared


async def test_a_phone_that_two_share_and_one_has_banned(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    """The permission of the one does not hide the ban of the other, and what is banned is not unknown."""
    banned, free = Someone(phone=PHONE), Someone(phone=PHONE)
    await world.know(banned, free)
    assert await both(world, http, address=PHONE) == ("allowed", "allowed")
    await world.decide(world.by_id(banned))
    assert await both(world, http, address=PHONE) == ("denied", "denied")
    of_free = {"customer": world.key("company.kauppa", free)}
    assert await both(world, http, **of_free, address=PHONE) == ("allowed", "allowed")
    await world.decide(world.by_id(free))
    assert await both(world, http, address=PHONE) == ("denied", "denied")
    assert await both(world, http, **of_free) == ("denied", "denied")


async def test_another_companys_customer_and_a_stranger_are_the_same(
    http: httpx.AsyncClient, world: ConsentsWorld
) -> None:
    """A record lists the points of the company's own customers alone."""
    sister = Someone(("sahko",), phone=PHONE)
    await world.know(sister)
    await world.decide(world.by_id(sister))
    for address in (PHONE, "+358407654322"):
        assert await both(world, http, address=address) == ("unknown", "unknown")


@pytest.mark.parametrize("act", [Act.BAN, Act.OPT_OUT, Act.WITHDRAWAL])
@pytest.mark.parametrize("channels", [(), (Channel.PHONE,), (Channel.EMAIL,)])
async def test_whatever_was_said_the_two_agree(
    http: httpx.AsyncClient, world: ConsentsWorld, act: Act, channels: tuple[Channel, ...]
) -> None:
    people = [Someone(phone=PHONE), Someone(phone=PHONE), Someone()]
    await world.know(*people)
    await world.decide(world.by_id(people[0]), act, channels=channels)
    await world.decide(world.by_phone(people[2].phone))
    for who in people:
        key = {"customer": world.key("company.kauppa", who)}
        for asked in ({"address": who.phone}, key, key | {"address": who.phone}, key | {"address": PHONE}):
            at_the_gate, cleared = await both(world, http, **asked)
            assert at_the_gate == cleared, asked
