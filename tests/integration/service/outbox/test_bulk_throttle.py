"""That somebody said no is heard on the restrictions topic, by whoever does bulk work; beats and facts are nobody."""

import asyncio

from kielto.service.support.bulk_throttle import SECONDS, BulkThrottle
from tests.integration.service.support import Bench, key
from tests.tokens import SetClock
from tests.waiting import until


async def test_a_ban_is_heard_and_nothing_else(service: Bench) -> None:
    clock = SetClock()
    throttle = BulkThrottle(0.25, clock)
    service.relay()
    hearing = asyncio.create_task(throttle.listen(service.bootstrap, service.family.express))
    try:
        await until(lambda: _said(service, throttle), "nobody was heard")
        await service.no_marks()
        # It listens, then, and whatever was said has come: from here on there are beats, and what facts took away.
        await asyncio.sleep(4)
        clock.now += SECONDS
        await service.publish(key())
        await service.no_marks()
        await asyncio.sleep(4)
        assert not throttle.due
    finally:
        hearing.cancel()


async def _said(service: Bench, throttle: BulkThrottle) -> bool:
    """Again and again: the first may come before the listening has begun."""
    await service.publish(key(), decision=key())
    return throttle.due
