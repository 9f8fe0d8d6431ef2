"""That somebody said no is heard on the restrictions topic, by whoever does bulk work; beats are nobody."""

import asyncio

import pytest

from kielto.service.courtesy import Courtesy
from tests.integration.service.support import Bench, eventually, key


async def test_a_ban_is_heard_and_beats_are_not(service: Bench) -> None:
    courtesy = Courtesy(0.25)
    service.relay()
    await service.publish(key())
    await service.no_marks()
    hearing = asyncio.create_task(courtesy.listen(service.bootstrap, service.family.express))
    try:
        # What was said before does not count, and beats come all the time.
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2):
                await eventually(lambda: courtesy.due, "beats are nobody")
        await eventually(lambda: _said(service, courtesy), "nobody was heard")
    finally:
        hearing.cancel()


async def _said(service: Bench, courtesy: Courtesy) -> bool:
    """Again and again: the first may come before the listening has begun."""
    await service.publish(key())
    return courtesy.due
