"""Which topics consents reads, and what handles each; the handler of acknowledgements."""

from kielto.events.base import Event
from kielto.events.envelope import Read
from kielto.events.messages import Acknowledgement, Decision, StoreDigest, StoreListing
from kielto.events.topics import CUSTOMERS, MARKETING_EVENTS, Lane, acks, decisions
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta, PermanentError, Stateless, Subscription
from kielto.service.recovery.topic_ends import TopicEnds
from services.consents.consumers.decisions import DecisionsConsumer
from services.consents.consumers.facts import CustomersConsumer, MarketingEventsConsumer
from services.consents.use_cases.context import Context, UnknownSubscriberError
from services.consents.use_cases.decisions import wait
from services.consents.use_cases.propagation import reconcile
from services.consents.use_cases.propagation.acknowledge import acknowledge, of_pair


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
    handler = DecisionsConsumer(context, party)
    return Subscription(decisions(party), handler, holding=handler, urgent=_is_no)


def _is_no(event: Event) -> bool:
    return isinstance(event, Decision) and event.act.restricts is True


class AcknowledgementsConsumer(Stateless):
    """What subscribers' stores have applied, and their answers to reconciliation questions."""

    def __init__(self, context: Context, party: str, ends: TopicEnds) -> None:
        self._context, self._party, self._ends = context, party, ends

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        try:
            match read.event:
                case Acknowledgement() as ack:
                    claimed = [
                        (p.topic, p.topic_id, p.partition, p.offset) for p in of_pair(self._party, ack)
                    ]
                    ends = await self._ends.known(claimed)
                    await acknowledge(conn, self._context, self._party, ack, meta.appended_at, ends)
                case StoreDigest() | StoreListing() as told:
                    await reconcile.keep_answer(conn, self._context, self._party, told, meta.appended_at)
        except UnknownSubscriberError:
            raise PermanentError("subscriber: must be a subscriber of the party") from None
        except reconcile.OutsideRangeError:
            raise PermanentError("rows: must lie in the bucket, above after and not above upto") from None
