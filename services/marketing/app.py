"""The composition root of marketing."""

from kielto.events.topics import CONSENTS, Lane
from kielto.service.process.platform import Platform, Service
from services.marketing.api import campaigns
from services.marketing.api.operations import OPERATIONS
from services.marketing.consumers import subscriptions
from services.marketing.settings import MarketingSettings
from services.marketing.use_cases.catch_up import Ends, look
from services.marketing.use_cases.context import MarketingContext
from services.marketing.use_cases.launch_worker import Launches

STALE_SECONDS = 30.0
"""A launch waits while marketing's copy of the permissions is older than this, or than three heartbeats if longer."""


def build(platform: Platform) -> Service:
    settings = MarketingSettings()
    context = MarketingContext(platform.pool, platform.keys, platform.group, platform.clock)
    stale_seconds = max(3 * platform.group.beat_seconds, STALE_SECONDS)

    def fresh() -> bool:
        return platform.inputs.fresh([CONSENTS.topic(Lane.EXPRESS)], stale_seconds)

    async def ends() -> tuple[Ends, Ends, bool]:
        return await look(platform.pool, platform.settings.kafka_bootstrap, platform.settings.security)

    return Service(
        families=(),  # no state of its own: audiences and events are messages, sent once and in order
        operations=OPERATIONS,
        routers=[campaigns.router(context)],
        subscriptions=subscriptions(context),
        background=[Launches(context, fresh, ends, settings.catch_up_seconds).run],
    )
