"""Which topics consents reads, and what handles each."""

from kielto.events.base import Event
from kielto.events.messages import Decision
from kielto.events.topics import CUSTOMERS, MARKETING_EVENTS, Lane, acks, decisions
from kielto.service.inbox.handlers import Subscription
from kielto.service.recovery.topic_ends import TopicEnds
from services.consents.consumers.acknowledgements import AcknowledgementsConsumer
from services.consents.consumers.decisions import DecisionsConsumer, UnreadableDecisions
from services.consents.consumers.facts import CustomersConsumer, MarketingEventsConsumer
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions import wait


def subscriptions(context: Context, ends: TopicEnds) -> list[Subscription]:
    """`ends`: of our own topics, which bound what subscribers may claim."""
    facts = CustomersConsumer(context)
    return [
        Subscription(CUSTOMERS.topic(Lane.EXPRESS), facts),
        Subscription(CUSTOMERS.topic(Lane.BULK), facts, batch=True),
        Subscription(MARKETING_EVENTS, MarketingEventsConsumer(context), batch=True),
        *(_decisions(context, party) for party in context.group.parties),
        *(
            Subscription(acks(party), AcknowledgementsConsumer(context, party, ends))
            for party in context.group.parties
        ),
    ]


def deciding_again(context: Context) -> wait.Again:
    """Return the function that decides a *yes* that waited."""
    return lambda conn, party, said, meta: DecisionsConsumer(context, party).take_again(conn, said, meta)


def _decisions(context: Context, party: str) -> Subscription:
    handler, holding = DecisionsConsumer(context, party), UnreadableDecisions(context, party)
    return Subscription(decisions(party), handler, holding=holding, urgent=_is_no)


def _is_no(event: Event) -> bool:
    return isinstance(event, Decision) and event.act.restricts is True
