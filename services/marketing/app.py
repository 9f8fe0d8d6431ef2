"""The composition root of marketing."""

import asyncio

from kielto.events.topics import CONSENTS, Lane
from kielto.service.process.main import Platform, Service
from services.marketing.api import drafting, reading
from services.marketing.api.operations import OPERATIONS
from services.marketing.consumers import subscriptions
from services.marketing.settings import MarketingSettings
from services.marketing.use_cases.catch_up import look
from services.marketing.use_cases.launch_worker import Launches

STALE_SECONDS = 30.0
"""A launch waits when the permissions held are older than this (a subscriber's default too), or than three beats."""


def build(platform: Platform) -> Service:
    settings = MarketingSettings()
    wake = asyncio.Event()
    stale_seconds = max(3 * platform.group.beat_seconds, STALE_SECONDS)

    def fresh() -> bool:
        return platform.inputs.fresh([CONSENTS.topic(Lane.EXPRESS)], stale_seconds)

    clock = platform.clock
    launches = Launches(
        platform.pool,
        platform.keys,
        platform.group,
        fresh,
        clock,
        wake,
        lambda: look(platform.pool, platform.settings.kafka_bootstrap, platform.settings.security),
        settings.catch_up_seconds,
    )

    return Service(
        families=(),  # no state of its own: audiences and events are messages, sent once and in order
        operations=OPERATIONS,
        routers=[drafting.router(platform.group, clock, wake), reading.router(platform.keys)],
        subscriptions=subscriptions(platform.group, platform.keys, clock),
        background=[launches.run],
    )
