"""Where our topics end, by the broker: nobody honest is above it, and a claim is no evidence of it."""

from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

from deploy.local.servers.stack import Stack
from kielto import kafka
from kielto.events.topics import Lane
from kielto.service.recovery.topic_ends import TopicEnds
from kielto.service.support.settings import ServiceSettings
from tests.integration.subscriber.customers import customer
from tests.integration.subscriber.relay import HandDrivenRelay, new_party


def ends_of(stack: Stack) -> TopicEnds:
    settings: Any = SimpleNamespace(kafka_bootstrap=stack.kafka.bootstrap, security=kafka.CLEAR)
    return TopicEnds(cast(ServiceSettings, settings))


async def test_a_claim_is_held_against_the_broker(stack: Stack) -> None:
    ends = ends_of(stack)
    async with HandDrivenRelay(stack.kafka.bootstrap, new_party()) as relay:
        topic, partition = relay.family.topic(Lane.EXPRESS), -1
        ident = await relay.topic_id(topic)
        for version in ("1.1", "1.2"):
            ((partition, offset),) = await relay.put(Lane.EXPRESS, customer("a", version))
            for claimed in (offset + 1, offset + 1000, 2**63):
                known = await ends.known([(topic, ident, partition, claimed)])
                assert known[ident, partition] == offset + 1
        stranger = uuid4()
        assert (stranger, 0) not in await ends.known([(topic, stranger, 0, 5)])
        await relay.recreate(topic)
        new = await relay.topic_id(topic)
        assert (await ends.known([(topic, new, partition, 1)]))[new, partition] == 0
    await ends.close()


async def test_a_topic_that_is_not_there_is_not_known(stack: Stack) -> None:
    ends = ends_of(stack)
    assert await ends.known([("company.nobody.restrictions.v1", uuid4(), 0, 5)]) == {}
    await ends.close()
