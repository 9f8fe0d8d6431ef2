"""A party's decisions topic: what its own desks took, with the same effect as over HTTP."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import structlog

from kielto.events.base import Event
from kielto.events.envelope import Read
from kielto.events.messages import Decision
from kielto.events.party import Party
from kielto.events.words import PointKind, Reach
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta, PermanentError, Stateless
from kielto.validation import FieldRule
from services.consents import metrics
from services.consents.model.check import DecisionError
from services.consents.model.decisions import Actor, Route
from services.consents.model.ref import NamedSubject
from services.consents.use_cases.context import Context, decision_id
from services.consents.use_cases.decisions import results, wait
from services.consents.use_cases.decisions.command import Command, ForbiddenError, NotKnownYetError
from services.consents.use_cases.decisions.decide import decide
from services.consents.use_cases.decisions.receipt import DecisionOutcome
from services.consents.use_cases.permissions.apply_facts import compute_customer_anew, customer_of_key

log = structlog.get_logger(__name__)


class DecisionsConsumer(Stateless):
    """What a party's own desks took, with the same effect as over HTTP.

    A message that cannot be read may be a *no* of whom its key names: nothing is allowed about them, in the whole
    group, until it is replayed or discarded. Of anybody, if the key names nobody: then nothing is cleared for the party
    (`clear.UnreadableDecisionError`).
    """

    def __init__(self, context: Context, party: str) -> None:
        self._context, self._party = context, party
        self._company = Party(party).id if Party(party).is_company else None

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        if not isinstance(said := read.event, Decision):
            return
        try:
            await self._take(conn, said, meta)
        except NotKnownYetError:
            told = results.MessageOrigin(self._context, self._party, said.id, meta)
            await wait.keep(conn, told, said, self._command(said, meta.appended_at))

    async def take_again(self, conn: Conn, said: Decision, meta: Meta) -> bool:
        """Decide a *yes* that waited; return False when it still has to wait."""
        try:
            await self._take(conn, said, meta)
        except NotKnownYetError:
            return False
        return True

    async def customer(self, conn: Conn, key: str | None) -> UUID | None:
        return await customer_of_key(conn, self._context, self._party, key)

    async def compute_anew(self, conn: Conn, customer: UUID) -> None:
        await compute_customer_anew(conn, self._context, customer)

    async def tell(self, conn: Conn, event: Event | None, reason: str, meta: Meta) -> None:
        ident = event.id if isinstance(event, Decision) else None
        await results.refused(conn, results.MessageOrigin(self._context, self._party, ident, meta), reason)

    async def _take(self, conn: Conn, said: Decision, meta: Meta) -> None:
        """Raises NotKnownYetError."""
        told = results.MessageOrigin(self._context, self._party, said.id, meta)
        try:
            outcome = await decide(conn, self._context, self._command(said, meta.appended_at))
        except NotKnownYetError:
            raise
        except (DecisionError, ForbiddenError, PermanentError) as error:
            if said.act.restricts:
                raise PermanentError(str(error)) from None
            # A yes without effect is the party's business, not an operator's.
            await results.refused(conn, told, str(error))
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
            metrics.DECISIONS_WIDENED.labels(self._party).inc()
            log.warning(
                "decision.widened", party=self._party, decision=str(decision.id), broken=decision.widened
            )
        if decision.id != decision_id(self._party, said.id):
            log.warning("decision.id_reused", party=self._party, decision=str(decision.id))

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
            return NamedSubject.of_id(self._party, subject.id)
        if subject.number is not None:
            if self._company is None:
                raise PermanentError(
                    "subject.number: must be absent, because only a company has customer numbers",
                    holds=said.act.restricts,
                )
            return NamedSubject.of_number(self._company, keys.encrypt(bytes.fromhex(subject.number)))
        assert subject.point is not None
        kind = subject.point_kind
        if kind not in _POINT_KINDS:
            if not said.act.restricts:
                raise PermanentError(": ".join(_POINT_KIND), holds=False)
            kind = PointKind.EMAIL  # the digest says whose point it is, whatever it is called
        return NamedSubject.of_point(kind, keys.encrypt(bytes.fromhex(subject.point)))

    def _lift(self, text: str) -> UUID | str:
        """The party's own id of a decision that it sent, or its reference of any."""
        try:
            return decision_id(self._party, UUID(text))
        except ValueError:
            return text


_POINT_KINDS = (PointKind.EMAIL, PointKind.PHONE)
_POINT_KIND = FieldRule("subject.point_kind", "must be email or phone")
_ROUTE = FieldRule("route", "must be a route by which decisions come")


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
    return Route(text) if text in set(Route) else Route.PARTNER
