"""The composition root of customers."""

from functools import partial

from kielto.events.party import Party
from kielto.events.topics import CUSTOMERS, customers_of
from kielto.service.outbox import parties, tombstones
from kielto.service.process.platform import Platform, Service
from kielto.service.recovery.new_epoch import TakeIn
from services.customers.api import candidates, customers, imports
from services.customers.api.operations import OPERATIONS
from services.customers.commands import erase_customer, list_candidates, merge_customers
from services.customers.model.draft import Terms
from services.customers.settings import CustomersSettings
from services.customers.use_cases.come_of_age import every_day
from services.customers.use_cases.context import AGAIN, CustomersContext
from services.customers.use_cases.guesses import Guesses
from services.customers.use_cases.record_changes import publish_next
from services.customers.use_cases.restore import keep, take_back


def build(platform: Platform) -> Service:
    settings = CustomersSettings()
    context = CustomersContext(
        pool=platform.pool,
        keys=platform.keys,
        terms=Terms(platform.group, settings.age_of_majority),
        clock=platform.clock,
        zone=settings.time_zone,
        throttle=platform.throttle,
        link_duplicates=settings.link_duplicates,
        guesses=Guesses(platform.limits.refused_identifiers_per_hour),
    )

    families = (CUSTOMERS, *(customers_of(Party.company(c)) for c in platform.group.company_ids))
    patience = max((s.deadline_seconds for s in platform.group.subscribers), default=0.0)
    deadlines = dict.fromkeys(families, patience)
    publish_again = partial(publish_next, context)

    return Service(
        families=families,
        operations=OPERATIONS,
        routers=[imports.router(context), candidates.router(context), customers.router(context)],
        streamed=[imports.PATH],
        background=[partial(every_day, context)],
        at_relays=[
            partial(tombstones.write_for_ever, platform.pool, deadlines, clock=platform.clock),
            partial(parties.compute_anew, platform.pool, families, publish_again, AGAIN),
        ],
        take_in=TakeIn(CUSTOMERS, keep, partial(take_back, context)),
        commands={
            "erase": partial(erase_customer, context),
            "merge": partial(merge_customers, context),
            "candidates list": partial(list_candidates, context),
        },
    )
