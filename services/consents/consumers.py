"""Kafka in: translate, one call. What each topic's messages mean here."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog

from kielto.events.base import Event
from kielto.events.envelope import Read
from kielto.events.messages import (
    Acknowledgement,
    Decision,
    MarketingEvent,
    StoreDigest,
    StoreListing,
    Unaddressed,
)
from kielto.events.records import Customer
from kielto.events.topics import CUSTOMERS, MARKETING_EVENTS, Lane, acks, decisions
from kielto.events.versions import Version
from kielto.events.words import Channel, PointKind, Reach
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta, PermanentError, Subscription
from kielto.service.recovery.topic_ends import TopicEnds
from kielto.service.support.limits import Limits
from kielto.validation import FieldRule
from services.consents import metrics, projections
from services.consents.model.check import DecisionError
from services.consents.model.decisions import Actor, Route
from services.consents.store.breaches import deliveries
from services.consents.store.permissions import customers
from services.consents.store.permissions.customers import Disclosure
from services.consents.use_cases.context import (
    Context,
    NamedSubject,
    decision_id,
    id_ref,
    id_subject,
    number_subject,
    point_subject,
)
from services.consents.use_cases.decisions import results, wait
from services.consents.use_cases.decisions.decide import (
    Command,
    DecisionOutcome,
    ForbiddenError,
    NotKnownYetError,
    decide,
    storable,
)
from services.consents.use_cases.decisions.results import MessageOrigin
from services.consents.use_cases.errors import UnknownSubscriberError
from services.consents.use_cases.permissions.apply_facts import (
    compute_customer_anew,
    deny_customer,
    take_in_customers,
    take_in_disclosures,
)
from services.consents.use_cases.propagation import reconcile
from services.consents.use_cases.propagation.acknowledge import acknowledge, of_pair

log = structlog.get_logger(__name__)


def subscriptions(context: Context, ends: TopicEnds, limits: Limits | None = None) -> list[Subscription]:
    """`ends`: of our own topics, which bound what subscribers may claim."""
    facts = CustomersConsumer(context)
    return [
        Subscription(CUSTOMERS.topic(Lane.EXPRESS), facts),
        Subscription(CUSTOMERS.topic(Lane.BULK), facts, batch=True),
        Subscription(MARKETING_EVENTS, MarketingEventsConsumer(context), batch=True),
        *(_decisions(context, party) for party in context.group.parties),
        *(
            Subscription(acks(party), AcknowledgementsConsumer(context, party, ends, limits))
            for party in context.group.parties
        ),
    ]


def deciding_again(context: Context) -> wait.Again:
    """How a yes that waited is decided."""

    async def again(conn: Conn, party: str, said: Decision, meta: Meta) -> bool:
        return await DecisionsConsumer(context, party).take_again(conn, said, meta)

    return again


def _decisions(context: Context, party: str) -> Subscription:
    handler, holding = DecisionsConsumer(context, party), UnreadableDecisions(context, party)
    return Subscription(decisions(party), handler, holding=holding, urgent=_is_no)


def _is_no(event: Event) -> bool:
    return isinstance(event, Decision) and event.act.restricts is True


class CustomersConsumer:
    """Facts, on both lanes."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        records = (read.event for read, _ in items if isinstance(read.event, Customer))
        rows = projections.newest(records, self._context.keys)
        await take_in_customers(conn, self._context, rows, min(_appended(meta) for _, meta in items))

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:  # noqa: ARG002
        await deny_customer(conn, self._context, UUID(key), version)


class Stateless:
    """A topic without state denies nobody."""

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        """Nothing: the message is in quarantine, and that is all there is to it."""


class MarketingEventsConsumer(Stateless):
    """Disclosures to partners, and deliveries, which are held against permissions; responses are not for us."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        rows = [
            self._row(event, event.partner)
            for read, _ in items
            if isinstance(event := read.event, MarketingEvent) and event.what == "disclosure"
            if event.partner is not None
        ]
        if rows:
            await take_in_disclosures(conn, self._context, rows)
        await deliveries.keep(conn, [_delivery(event, meta) for event, meta in delivered(items)])

    def _row(self, event: MarketingEvent, partner: str) -> Disclosure:
        party = f"partner.{partner}"
        if party not in (*self._context.group.parties, *self._context.left):
            raise PermanentError("partner: must be a partner of the group")
        keys = self._context.keys  # those of a partner that has left may be gone
        ref = id_ref(party, keys.pairwise(party, event.customer)) if keys.knows(party) else None
        return Disclosure(event.customer, partner, event.company, event.at, ref)


class AcknowledgementsConsumer(Stateless):
    def __init__(self, context: Context, party: str, ends: TopicEnds, limits: Limits | None = None) -> None:
        self._context, self._party, self._ends, self._limits = context, party, ends, limits or Limits()

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        try:
            match read.event:
                case Acknowledgement() as ack:
                    claimed = [
                        (p.topic, p.topic_id, p.partition, p.offset) for p in of_pair(self._party, ack)
                    ]
                    ends = await self._ends.known(claimed)
                    await acknowledge(conn, self._context, self._party, ack, _appended(meta), ends)
                case StoreDigest() | StoreListing() as told:
                    at, limits = _appended(meta), self._limits
                    await reconcile.keep(conn, self._context, self._party, told, at, limits)
        except UnknownSubscriberError:
            raise PermanentError("subscriber: is a subscriber of the party") from None
        except reconcile.OutsideRangeError:
            raise PermanentError("rows: lie in the bucket, above after and not above upto") from None


class UnreadableDecisions:
    """A message on a party's decisions topic that cannot be read may be a *no* of whom its key names: nothing is
    allowed about them, in the whole group, until it is replayed or discarded. Of anybody, if the key names nobody: then
    nothing is cleared for the party (`store.clearances.held`).
    """

    def __init__(self, context: Context, party: str) -> None:
        self._context, self._party = context, party

    async def customer(self, conn: Conn, key: str | None) -> UUID | None:
        ident = self._context.keys.from_pairwise(self._party, key) if key else None
        return ident if ident is not None and await customers.is_known(conn, ident) else None

    async def compute_anew(self, conn: Conn, customer: UUID) -> None:
        await compute_customer_anew(conn, self._context, customer)

    async def tell(self, conn: Conn, event: Event | None, reason: str, meta: Meta) -> None:
        ident = event.id if isinstance(event, Decision) else None
        await results.refused(conn, MessageOrigin(self._context, self._party, ident, meta), reason)


class DecisionsConsumer(Stateless):
    """What a party's own desks took, with the same effect as over HTTP."""

    def __init__(self, context: Context, party: str) -> None:
        self._context, self._party = context, party
        kind, _, name = party.partition(".")
        self._company = name if kind == "company" else None

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        if not isinstance(said := read.event, Decision):
            return
        try:
            await self._take(conn, said, meta)
        except NotKnownYetError:
            told = MessageOrigin(self._context, self._party, said.id, meta)
            await wait.keep(conn, told, said, self._command(said, _appended(meta)))

    async def take_again(self, conn: Conn, said: Decision, meta: Meta) -> bool:
        """One that waits; False: it has to wait on."""
        try:
            await self._take(conn, said, meta)
        except NotKnownYetError:
            return False
        return True

    async def _take(self, conn: Conn, said: Decision, meta: Meta) -> None:
        """Raises NotKnownYetError."""
        told = MessageOrigin(self._context, self._party, said.id, meta)
        try:
            outcome = await decide(conn, self._context, self._command(said, _appended(meta)))
        except NotKnownYetError:
            raise
        except (DecisionError, ForbiddenError, PermanentError) as error:
            why = _why(error)
            if said.act.restricts:
                raise PermanentError(why) from None
            await results.refused(
                conn, told, why
            )  # a yes without effect is the party's business, not an operator's
            return
        if outcome is None or outcome.repeats:
            ident = decision_id(self._party, said.id) if outcome is None else outcome.decision.id
            await results.taken(conn, told, None, ident)
            return
        await results.taken(conn, told, outcome, outcome.decision.id)
        self._tell(outcome, said)

    def _tell(self, outcome: DecisionOutcome, said: Decision) -> None:
        decision = outcome.decision
        metrics.taken(decision.act, pending=outcome.pending)
        if decision.widened:
            metrics.decisions_widened.labels(self._party).inc()
            log.warning(
                "a no was widened", party=self._party, decision=str(decision.id), broken=decision.widened
            )
        if decision.id != decision_id(self._party, said.id):
            log.warning("another no under an id that was used", party=self._party, decision=str(decision.id))

    def _command(self, said: Decision, received_at: datetime) -> Command:
        reach, own = said.reach, said.act.restricts is False
        if reach is None and own:
            reach = Reach.COMPANY if said.partner is None else Reach.PARTNER
        return Command(
            id=decision_id(self._party, said.id),
            subject=self._subject(said),
            act=said.act,
            received_at=received_at,
            said_at=received_at if any(field == "said_at" for field, _ in said.broken) else said.said_at,
            reach=reach,
            company=self._company if reach is Reach.COMPANY or (own and reach is not Reach.GROUP) else None,
            partner=said.partner,
            purposes=said.purposes,
            channels=said.channels,
            lifts=() if said.act.restricts else tuple(self._lift(text) for text in said.lifts),
            by=Actor(said.by),
            route=_route(said.route),
            evidence=said.evidence,
            party=self._party,
            by_topic=True,
            broken=tuple(f"{field}: {rule}" for field, rule in _broken(said)),
            content=self._context.keys.blind_index("decision", said.content()),
        )

    def _subject(self, said: Decision) -> NamedSubject:
        subject, keys = said.subject, self._context.keys
        if subject.id is not None:
            return id_subject(self._party, subject.id)
        if subject.number is not None:
            if self._company is None:
                raise PermanentError(
                    "subject.number: is a company's customer number", holds=said.act.restricts
                )
            return number_subject(keys, self._company, bytes.fromhex(subject.number))
        assert subject.point is not None
        kind = subject.point_kind
        if kind not in _POINT_KINDS:
            if not said.act.restricts:
                raise PermanentError(": ".join(_POINT_KIND), holds=False)
            kind = PointKind.EMAIL  # the digest says whose point it is, whatever it is called
        return point_subject(keys, kind, bytes.fromhex(subject.point))

    def _lift(self, text: str) -> UUID | str:
        """The party's own id of a decision that it sent, or its reference of any."""
        try:
            return decision_id(self._party, UUID(text))
        except ValueError:
            return text


def _why(error: DecisionError | ForbiddenError | PermanentError) -> str:
    """`field: rule`."""
    match error:
        case DecisionError():
            return f"{error.field}: {error.rule}"
        case ForbiddenError():
            return error.rule
        case PermanentError():
            return error.reason


def delivered(items: Sequence[tuple[Read, Meta]]) -> Iterator[tuple[MarketingEvent | Unaddressed, Meta]]:
    for read, meta in items:
        match read.event:
            case MarketingEvent(what="delivery", channel=Channel()) | Unaddressed() as event:
                yield event, meta


def _delivery(event: MarketingEvent | Unaddressed, meta: Meta) -> deliveries.Delivery:
    """It was sent when the sender says, but no later than it was told; marketing of old did not say when that was.

    Whom no campaign was given is named as the party calls them: it has that id from a record of ours.
    """
    assert event.channel is not None
    told = min(event.reported_at or _appended(meta), _appended(meta))
    return deliveries.Delivery(
        id=event.id,
        customer=event.customer if isinstance(event, MarketingEvent) else None,
        subject=id_ref(event.party, event.subject) if isinstance(event, Unaddressed) else None,
        company=event.company,
        partner=event.partner,
        campaign=event.campaign,
        channel=event.channel,
        purpose=event.purpose,
        claimed_at=storable(event.at, told),
        reported_at=told,
        point=event.point,
    )


_POINT_KINDS = (PointKind.EMAIL, PointKind.PHONE)
_POINT_KIND = FieldRule("subject.point_kind", "must be email or phone")
_ROUTE = FieldRule("route", "is a route by which decisions come")


def _broken(said: Decision) -> Iterator[FieldRule]:
    """The rules that a *no* broke in its words; a *yes* that breaks one is refused."""
    if said.act.restricts:
        yield from said.broken
        if said.subject.point_kind not in (None, *_POINT_KINDS):
            yield _POINT_KIND
        if said.route not in set(Route):
            yield _ROUTE


def _route(text: str) -> Route:
    """A route that we do not know is the widest: a *no* is understood all the same, and a *yes* does not come by it."""
    try:
        return Route(text)
    except ValueError:
        return Route.PARTNER


def _appended(meta: Meta) -> datetime:
    return datetime.fromtimestamp(meta.timestamp_ms / 1000, UTC)
