"""`Subscriber`: all that a system outside of Kielto needs, in one object."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import UUID, uuid4

from kielto.clock import clock, utc_now
from kielto.errors import InvalidValueError, WrongUseError
from kielto.events.party import Party
from kielto.events.results import DecisionResult
from kielto.events.topics import PARTITIONS, decisions
from kielto.events.words import Act, Channel, Purpose, Reach
from kielto.kafka import CLEAR, Security
from kielto.subscriber.gate.gate import CODES, FollowedParty
from kielto.subscriber.gate.local_denials import Denials
from kielto.subscriber.gate.questions import Answer, Question, Reason
from kielto.subscriber.session_loop import BackgroundTasks, Follows, SessionLoop
from kielto.subscriber.stores.base import Store
from kielto.subscriber.submit.decision import decide
from kielto.subscriber.submit.results import ResultsReader
from kielto.subscriber.submit.sender import Submitting
from kielto.subscriber.submit.spool import Spool
from kielto.subscriber.support import settings
from kielto.subscriber.support.brokers import FORBIDDEN, MISSING, Brokers, NotReadyError, ThrottledLog
from kielto.subscriber.sync.changes import OnChange

if TYPE_CHECKING:
    from kielto.subscriber.clearance import Clearance, Cleared

log = logging.getLogger(__name__)
READY_POLL_SECONDS = 0.02
MISSING_SECONDS = 10.0
"""After this time `ready` takes a party whose topics are missing for one that is not in the group."""
PROGRESS_SECONDS = 5.0


class Subscriber:
    """Follows a party's topics, answers `may`, acknowledges what its store holds, and submits decisions.

    `subscriber`: the id of this system in group.yaml. `party`: whose topics it follows, `company.<id>` or
    `partner.<id>`. `bootstrap`: the brokers, `host:port,host:port`. `point_keys`: the party's point keys by generation,
    32 bytes each. `store`: `MemoryStore()`, or a `PostgresStore` of this instance's own. `spool`: a file on a disk that
    lasts; `submit` needs it, and with it a restart keeps the proof of what was applied. `stale_seconds`: the gate shuts
    when the store is older than this; use at least three times the group's `beat_seconds`. `country` (ISO 3166
    alpha-2): the country of phone numbers that are given without one. `instance`: the id of this installation; by
    default it is kept in the spool. `security`: TLS and SASL of the brokers. `clearance`: where `clear` asks.
    `flush_seconds`: how long leaving waits at most until decisions are sent; the ids of the others are in `unsent`.
    `on_change`: an async function for a tool that keeps a list of its own. It is called with the customers whose
    records changed, after the store has them and before they are acknowledged; again, with growing pauses, while it
    raises; and again after a restart with those for which it had not returned. It may get a customer twice. The first
    time it gets all customers. `now`: the time that decisions and acknowledgements say.

    Use it as an asynchronous context manager. It starts at once, whether Kafka and the store answer or not. Until it
    has read everything, and whenever it cannot be sure that it has, `may` answers no. Every error of its own is a
    `KieltoError`. Raises InvalidValueError (a ValueError) for a setting that cannot be used.
    """

    def __init__(
        self,
        *,
        subscriber: str,
        party: str,
        bootstrap: str,
        point_keys: Mapping[int, bytes],
        store: Store,
        spool: Path | str | None = None,
        stale_seconds: float = 30.0,
        country: str = "FI",
        instance: UUID | None = None,
        security: Security = CLEAR,
        clearance: "Clearance | None" = None,
        flush_seconds: float = 10.0,
        on_change: OnChange | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        settings.check(subscriber, party, bootstrap, point_keys, country, stale_seconds)
        self.subscriber, self.party = subscriber, Party(party)
        followed = FollowedParty(self.party, dict(point_keys), country)
        self._brokers = Brokers(bootstrap, security)
        self._follows = Follows(subscriber, followed, self._brokers, store, stale_seconds, on_change, now)
        self._instance, self._spool_path = instance, None if spool is None else Path(spool)
        self._clearance, self._flush_seconds = clearance, flush_seconds
        self.unsent: list[UUID] = []
        """After leaving, the ids of decisions that the broker does not have. They are sent after the next start."""
        self.answers: Counter[Reason] = Counter()
        """How often `may` gave each reason."""
        self._spool: Spool | None = None
        self._denials = Denials(decisions(party))
        self._submitting: Submitting | None = None
        self._results: ResultsReader | None = None
        self._tasks = BackgroundTasks()
        self._loop = SessionLoop(self._follows, self._denials, self._tasks)
        self._is_not = "not entered yet"
        """Why nothing runs; empty while it does."""

    async def __aenter__(self) -> Self:
        """Raises SpoolInUseError, OSError or sqlite3.Error when the spool cannot be used, and WrongUseError when the
        subscriber was entered before.
        """
        if self._is_not != "not entered yet":
            raise WrongUseError("Subscriber: it was entered before; make a new one")
        self._is_not = ""
        if self._spool_path is not None:
            self._spool = await asyncio.to_thread(Spool, self._spool_path)
            try:
                await self._open(self._spool)
            except BaseException:
                self._spool.close()
                raise
        self._instance = self._instance or uuid4()
        self._tasks.start(self._loop.run(self._instance, self._spool))
        return self

    async def _open(self, spool: Spool) -> None:
        self._instance = self._instance or await asyncio.to_thread(spool.instance)
        submitting = Submitting(self._brokers, self._follows.party, spool, self._denials)
        await submitting.load()
        self._submitting = submitting
        self._tasks.start(submitting.run())

    def _must_run(self) -> None:
        if self._is_not:
            raise WrongUseError(f"Subscriber: {self._is_not}; call it within `async with`")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._submitting is not None:
                self.unsent = await self._submitting.flush(self._flush_seconds)
            if self.unsent:
                told = "%d decisions were not sent; they stay in the spool and are sent after the next start"
                log.warning(told, len(self.unsent))
        finally:
            await self._close()

    async def _close(self) -> None:
        self._is_not = "already left"
        self._loop.gate = None
        await self._tasks.cancel()
        await self._follows.store.close()
        if self._clearance is not None:
            await self._clearance.close()
        self._submitting = None  # a decision submitted from now on would not be kept
        if self._spool is not None:
            self._spool.close()

    # -- asking

    def may(self, question: Question) -> Answer:
        """Answer whether this may be said now. Ask directly before handing a message over. Never raises."""
        answer = Answer(False, Reason.STARTING) if self._loop.gate is None else self._loop.gate.may(question)
        self.answers[answer.reason] += 1
        return answer

    async def clear(self, questions: Iterable[Question], *, campaign: str) -> "Cleared":
        """Ask consents itself about those whom the gate permits; then ask `Cleared.may` before each hand-over.

        For senders that must not use a permission even `stale_seconds` after its end. The answer is that of the
        primary database, it is recorded there, and it is valid for some seconds. Raises InvalidValueError when the
        subscriber has no `clearance`.
        """
        if self._clearance is None:
            raise InvalidValueError("clearance: clear() needs one; give Subscriber(clearance=Clearance(...))")
        return await self._clearance.clear(self.may, questions, campaign)

    def partitions(self) -> list[tuple[Reason | None, float]]:
        """For each partition: why its gate is shut, or None; and how old its part of the store may be, in seconds."""
        starting = [(Reason.STARTING, float("inf"))] * PARTITIONS
        return [*starting] if self._loop.gate is None else self._loop.gate.partitions()

    def may_customers(self, question: Question, customers: bytes) -> list[Reason]:
        """Answer one question about each of many customers, about a hundred times as fast as `may` for each.

        `customers`: their ids one after the other, 32 bytes each. `question` has no customer, number or address.
        Raises InvalidValueError.
        """
        if self._loop.gate is None:
            return [Reason.STARTING] * (len(customers) // 32)
        return list(map(CODES.__getitem__, self._loop.gate.may_customers(question, customers)))

    def shut(self) -> Reason | None:
        """Why the gate of at least one partition is shut, or None."""
        return Reason.STARTING if self._loop.gate is None else self._loop.gate.shut()

    def count(self) -> int:
        """The number of customers in the store, permitted or not."""
        return 0 if self._loop.session is None else len(self._loop.session.follower.image)

    async def ready(self, timeout: float | None = 60.0) -> None:  # noqa: ASYNC109 - it says why it ran out
        """Wait until the gates of all partitions are open.

        Raises NotReadyError, which names the cause: at once where waiting cannot help (wrong point keys, a subscriber
        that is not in group.yaml), after ten seconds when the party's topics are missing, and otherwise when nothing
        new was read for `timeout` seconds (None: never). Raises StoreError when the store cannot be used, and
        WrongUseError outside of `async with`. In any case the subscriber goes on reading in the background.
        """
        self._must_run()
        news, since, warnings = -1, clock(), ThrottledLog(log)
        while (reason := self._wanting()) is not None:
            if self._loop.session is not None and self._loop.session.news != news:
                news, since = self._loop.session.news, clock()
            cause, waited = self._follows.store.waits_for or self._brokers.problem(), clock() - since
            if timeout is not None and waited > (
                min(timeout, MISSING_SECONDS) if cause == MISSING else timeout
            ):
                raise NotReadyError(
                    f"{cause or f'the gate is shut: {reason}'} (nothing new for {waited:.0f} s)"
                )
            if waited > PROGRESS_SECONDS:
                warnings.warn("not ready, %d customers read: %s", self.count(), cause or reason)
            await asyncio.sleep(READY_POLL_SECONDS)

    def _wanting(self) -> Reason | None:
        """Why the gate is shut. Raises what will not get better by waiting."""
        if self._loop.store_error is not None:
            raise self._loop.store_error
        if self._loop.gate is not None and (wrong := self._loop.gate.wrong_keys()):
            raise NotReadyError(wrong)
        told = None if self._loop.session is None else self._loop.session.follower.told
        if told is not None and told.about is not None and self.subscriber not in told.about.subscribers:
            known = ", ".join(told.about.subscribers) or "none"
            raise NotReadyError(
                f"subscriber: it is not among those of {self.party} in group.yaml ({known}), so its acknowledgements "
                "are refused. Use an id from there, or have it added"
            )
        if (reason := self.shut()) is None and self._brokers.problem() == FORBIDDEN:
            raise NotReadyError(FORBIDDEN)  # it reads, and cannot acknowledge, or send decisions
        return reason

    # -- warnings

    async def submit(
        self,
        act: Act | str,
        *,
        customer: str | None = None,
        number: str | None = None,
        email: str | None = None,
        phone: str | None = None,
        reach: Reach | str | None = None,
        partner: str | None = None,
        purposes: Sequence[Purpose | str] = (),
        channels: Sequence[Channel | str] = (),
        lifts: Sequence[str] = (),
        by: str = "person",
        route: str = "self_service",
        said_at: datetime | None = None,
        evidence: str | None = None,
        ident: UUID | None = None,
        traceparent: str | None = None,
    ) -> UUID:
        """Submit what a person said to this system; return the id of the decision.

        Give exactly one of `customer` (64 hex digits), `number`, `email` and `phone`. A *no* denies here before this
        returns, and everywhere soon after; a *yes* counts when consents has accepted it. When this returns, the
        decision is on disk and is sent, in order, until the broker has it. `ident`: an id of your own for the
        decision, so that a repeated call is the same decision.

        Raises InvalidValueError, InvalidContactPointError or MessageTooLargeError for what cannot be submitted, and
        OSError or sqlite3.Error when the spool cannot be written; a *no* then still denies here until the next
        start. Raises WrongUseError outside of `async with`.
        """
        submitting = self._with_spool()
        said = {
            "id": ident or uuid4(),
            "act": act,
            "reach": reach,
            "partner": partner,
            "purposes": tuple(purposes),
            "channels": tuple(channels),
            "lifts": tuple(lifts),
            "by": by,
            "route": route,
            "said_at": said_at or self._follows.now(),
            "evidence": evidence,
        }
        key, decision = decide(self._follows.party, said, customer, number, email, phone)
        await submitting.submit(key, decision, traceparent)
        return decision.id

    async def sent(self, decision: UUID) -> None:
        """Wait until the broker has the decision; return at once when the spool does not have it.

        Raises InvalidValueError when there is no spool, and WrongUseError outside of `async with`.
        """
        await self._with_spool().sent(decision)

    def _with_spool(self) -> Submitting:
        self._must_run()
        if self._submitting is None:
            raise InvalidValueError("spool: submit() needs one; give Subscriber(spool=...) a file that lasts")
        return self._submitting

    async def result(self, decision: UUID, timeout: float | None = 60.0) -> DecisionResult:  # noqa: ASYNC109 - as ready()
        """Wait for what consents did with a decision: taken, widened, waiting, held or refused, with the broken rules.

        For a decision that was sent twice it is the result of the first message. The results topic is read from ten
        minutes before the first call on, and the newest 10,000 results are kept. Raises ResultTimeoutError (a
        TimeoutError) after `timeout` seconds; call again then. Raises WrongUseError outside of `async with`.
        """
        self._must_run()
        if self._results is None:
            self._results = ResultsReader(self._brokers, self.party, self._follows.now())
            self._tasks.start(self._results.run())
        return await self._results.of(decision, timeout)
