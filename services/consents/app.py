"""The composition root of consents."""

from kielto.events.topics import CONSENTS, CUSTOMERS, decisions, permissions_of
from kielto.service.app import Platform, Service
from services.consents.api import customers
from services.consents.api import decisions as decisions_api
from services.consents.api import subscribers as subscribers_api
from services.consents.settings import ConsentsSettings
from services.consents.subscribers import subscriptions
from services.consents.use_cases import locate
from services.consents.use_cases.context import Context


def build(platform: Platform) -> Service:
    group = platform.group
    context = Context.of(group, platform.keys)
    # As patient as the least patient subscriber: its bound for a restricting fact is then twice its own N.
    patience = min((s.stale_seconds for s in group.subscribers), default=3 * group.beat_seconds)
    stale = ConsentsSettings().inputs_stale_seconds or patience
    inputs = [CUSTOMERS.express] if CUSTOMERS.express else []

    async def watch() -> None:
        await locate.watch(platform.pool, context)

    return Service(
        families=(CONSENTS, *(permissions_of(party) for party in group.parties)),
        routers=[
            decisions_api.router(platform.pool, context),
            customers.router(platform.pool, context),
            subscribers_api.router(platform.pool, context),
        ],
        subscriptions=subscriptions(context),
        taken={party: (decisions(party),) for party in group.parties},
        beat_gate=lambda: platform.inputs.fresh(inputs, stale),
        background=[watch],
    )
