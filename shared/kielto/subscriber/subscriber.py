"""`Subscriber`: everything an outside system needs, in one object."""

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

from kielto.errors import InvalidValueError, WrongUseError
from kielto.events.results import DecisionResult
from kielto.events.topics import PARTITIONS, acks, decisions, permissions_of
from kielto.events.words import Act, Channel, Purpose, Reach
from kielto.kafka import CLEAR, Security
from kielto.subscriber import settings
from kielto.subscriber.clock import clock
from kielto.subscriber.gate.gate import CODES, FollowedParty, Gate
from kielto.subscriber.gate.local_denials import Denials
from kielto.subscriber.gate.questions import Answer, Question, Reason
from kielto.subscriber.log_throttle import Telling
from kielto.subscriber.not_ready import FORBIDDEN, MISSING, NotReadyError, Troubles
from kielto.subscriber.replica.state import Delta
from kielto.subscriber.stores.base import Store, StoreError, StoreLostError, StoreMark
from kielto.subscriber.submit.decision import decide
from kielto.subscriber.submit.results import ResultsReader
from kielto.subscriber.submit.sender import Submitting
from kielto.subscriber.submit.spool import Spool
from kielto.subscriber.sync.acks import Acknowledger, AckSender
from kielto.subscriber.sync.changes import OnChange
from kielto.subscriber.sync.reading import Following
from kielto.subscriber.sync.session import Session
from kielto.subscriber.sync.store_digests import Digests

if TYPE_CHECKING:
    from kielto.subscriber.clearance import Clearance, Cleared

log = logging.getLogger(__name__)
RETRY_SECONDS = 1.0
READY_POLL_SECONDS = 0.02
MISSING_SECONDS = 10.0
"""A party whose topics are still missing after so long is taken to be none of the group's."""
PROGRESS_SECONDS = 5.0


class Subscriber:
    """Follows a party's topics and answers `may`; acknowledges what its store holds by itself; takes
    decisions in.

    `subscriber`: this system's id in the group. `party`: whose topics it reads, `company.<id>` or
    `partner.<id>`. `point_keys`: the party's point keys by generation. `store`: `MemoryStore()`, or a
    `PostgresStore`, one for each instance. `spool`: a file on a disk that lasts, needed for `submit` and
    good for proof. `stale_seconds`: the gate shuts when the view is older; at least three beats. `country`
    (ISO 3166 alpha-2) reads phone numbers without a country code. `instance`: this installation's id; kept
    in the spool by default. `security`: TLS and SASL, where the brokers ask for them. `flush_seconds`: so long
    leaving waits at most for decisions to be sent; what is left is in `unsent`, and logged.
    `on_change`: an async function that is given the customers whose records changed, for a tool that keeps its own
    list: called after the store has them and before they are acknowledged, again with backoff when it raises, and again
    after a restart for what it had not returned from. It may get a customer twice. The first time it gets everybody.

    Use it as an asynchronous context manager. It starts at once, whether Kafka and the store are there or
    not; until it has read everything, and whenever it is not sure that it has, `may` says no.
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
    ) -> None:
        settings.check(subscriber, party, bootstrap, point_keys, country, stale_seconds)
        self._security, self._troubles = security, Troubles()
        self.subscriber, self.party = subscriber, party
        self._bootstrap, self._store, self._stale_seconds = bootstrap, store, stale_seconds
        self._whose = FollowedParty(party, dict(point_keys), country)
        self._instance, self._spool_path = instance, None if spool is None else Path(spool)
        self._clearance, self._flush_seconds = clearance, flush_seconds
        self._on_change = on_change
        self.unsent: list[UUID] = []
        """After leaving: ids of decisions that the broker does not have. They wait in the spool for the next start."""
        self.answers: Counter[Reason] = Counter()
        """How often `may` gave each reason."""
        self._spool: Spool | None = None
        self._denials = Denials(decisions(party))
        self._submitting: Submitting | None = None
        self._results: ResultsReader | None = None
        self._session: Session | None = None
        self._gate: Gate | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused: StoreError | None = None
        self._telling = Telling(log)
        self._is_not = "not entered yet"
        """Why nothing runs; empty while it does."""

    async def __aenter__(self) -> Self:
        """Raises SpoolInUseError, and OSError or sqlite3.Error when the spool cannot be used; RuntimeError when it was
        entered before.
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
        self._start(self._follow())
        return self

    async def _open(self, spool: Spool) -> None:
        self._instance = self._instance or await asyncio.to_thread(spool.instance)
        submitting = Submitting(
            self._bootstrap,
            self._whose,
            decisions(self.party),
            spool,
            self._denials,
            security=self._security,
            troubles=self._troubles,
        )
        await submitting.load()
        self._submitting = submitting
        self._start(submitting.run())

    def _must_run(self) -> None:
        if self._is_not:
            raise WrongUseError(f"Subscriber: {self._is_not}; call it within `async with`")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._flush()
        finally:
            await self._close()

    async def _flush(self) -> None:
        if self._submitting is None:
            return
        self.unsent = await self._submitting.flush(self._flush_seconds)
        if self.unsent:
            log.warning(
                "%d decisions were not sent; they stay in the spool and are sent after the next start",
                len(self.unsent),
            )

    async def _close(self) -> None:
        self._is_not = "already left"
        self._gate = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._store.close()
        if self._clearance is not None:
            await self._clearance.close()
        self._submitting = None  # what is told from now on would not be kept
        if self._spool is not None:
            self._spool.close()

    # -- asking

    def may(self, question: Question) -> Answer:
        """Whether one may be marketed to, now. Never raises; ask directly before handing a message over."""
        answer = Answer(False, Reason.STARTING) if self._gate is None else self._gate.may(question)
        self.answers[answer.reason] += 1
        return answer

    async def clear(self, questions: Iterable[Question], *, campaign: str) -> "Cleared":
        """Ask the group itself about those whom the gate lets through; ask `Cleared.may` at each hand-over.

        For senders that may not be late by even N: what is cleared is true at the primary, recorded there,
        and runs out within seconds of asking. Raises ValueError when there is no `clearance` to ask.
        """
        if self._clearance is None:
            raise InvalidValueError("clearance: clear() needs one; give Subscriber(clearance=Clearance(...))")
        return await self._clearance.clear(self.may, questions, campaign)

    def partitions(self) -> list[tuple[Reason | None, float]]:
        """Of each partition: why its gate is shut, or None; and how old its view may be, in seconds."""
        starting = [(Reason.STARTING, float("inf"))] * PARTITIONS
        return [*starting] if self._gate is None else self._gate.partitions()

    def may_customers(self, question: Question, customers: bytes) -> list[Reason]:
        """`may` of one question, without customer, number and address, for each of many customers: their ids
        in order, 32 bytes each. Asked of very many at once it is a hundred times faster. Raises ValueError.
        """
        if self._gate is None:
            return [Reason.STARTING] * (len(customers) // 32)
        return list(map(CODES.__getitem__, self._gate.may_customers(question, customers)))

    def shut(self) -> Reason | None:
        """Why the gate is shut for at least some, or None."""
        return Reason.STARTING if self._gate is None else self._gate.shut()

    def count(self) -> int:
        """Customers in the store, allowed or not."""
        return 0 if self._session is None else len(self._session.follower.image)

    async def ready(self, timeout: float | None = 60.0) -> None:  # noqa: ASYNC109 - it says why it ran out
        """Returns when the gate is open for everyone.

        Raises NotReadyError, which names the cause: at once for what cannot get better as things are set up (foreign
        point keys, a subscriber that is not in the group), soon where the party's topics are missing, and else when
        nothing new was taken in for `timeout` seconds; None waits for ever. Raises StoreError when the store refuses
        us, and RuntimeError outside of `async with`. The following goes on in the background all the same.
        """
        self._must_run()
        news, since, telling = -1, clock(), Telling(log)
        while (reason := self._wanting()) is not None:
            if self._session is not None and self._session.news != news:
                news, since = self._session.news, clock()
            cause, waited = self._store.waits_for or self._troubles.text(), clock() - since
            if timeout is not None and waited > (
                min(timeout, MISSING_SECONDS) if cause == MISSING else timeout
            ):
                raise NotReadyError(
                    f"{cause or f'the gate is shut: {reason}'} (nothing new for {waited:.0f} s)"
                )
            if waited > PROGRESS_SECONDS:
                telling.warn("not ready, %d customers read: %s", self.count(), cause or reason)
            await asyncio.sleep(READY_POLL_SECONDS)

    def _wanting(self) -> Reason | None:
        """Why the gate is shut. Raises what will not get better by waiting."""
        if self._refused is not None:
            raise self._refused
        if self._gate is not None and (wrong := self._gate.wrong_keys()):
            raise NotReadyError(wrong)
        told = None if self._session is None else self._session.follower.told
        if told is not None and told.about is not None and self.subscriber not in told.about.subscribers:
            known = ", ".join(told.about.subscribers) or "none"
            raise NotReadyError(
                f"subscriber: is not in group.yaml for {self.party} ({known}): what it acknowledges is refused. Use "
                "the id that stands there, or have it added"
            )
        if (reason := self.shut()) is None and self._troubles.text() == FORBIDDEN:
            raise NotReadyError(FORBIDDEN)  # it reads, and cannot acknowledge, or send decisions
        return reason

    # -- telling

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
        """What a person said to this system's own desk; returns the decision's id.

        About exactly one of `customer` (64 hex digits), `number`, `email`, `phone`. A *no* is denied here
        before this returns, and everywhere soon; a *yes* counts when the group has taken it in. When it
        returns, it is on disk and will be sent, in order, for ever. `ident`: the decision's own id, so that
        a repeated call is one decision.

        Raises ValueError naming the field and the rule, InvalidContactPointError, MessageTooLargeError, or what the
        disk raises: then it was not taken (though a *no* is denied here until the next start). Raises RuntimeError
        outside of `async with`.
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
            "said_at": said_at or datetime.now(UTC),
            "evidence": evidence,
        }
        key, decision = decide(self._whose, said, customer, number, email, phone)
        await submitting.submit(key, decision, traceparent)
        return decision.id

    async def sent(self, decision: UUID) -> None:
        """Returns when the broker has the decision, by the id that `submit` returned; at once when it is not in the
        spool. Raises ValueError when there is no spool, RuntimeError outside of `async with`.
        """
        await self._with_spool().sent(decision)

    def _with_spool(self) -> Submitting:
        self._must_run()
        if self._submitting is None:
            raise InvalidValueError("spool: submit() needs one; give Subscriber(spool=...) a file that lasts")
        return self._submitting

    async def result(self, decision: UUID, timeout: float | None = 60.0) -> DecisionResult:  # noqa: ASYNC109 - as ready()
        """What became of a decision at the group, by the id that `submit` returned: taken, widened, waiting, held or
        refused, with the rules that were broken. Of one that was sent again, what the first became.

        The party's results topic is read from ten minutes before the first call on, and the newest 10,000 results are
        kept. Raises TimeoutError; ask again then. Raises RuntimeError outside of `async with`.
        """
        self._must_run()
        if self._results is None:
            self._results = ResultsReader(self._bootstrap, self.party, security=self._security)
            self._start(self._results.run())
        return await self._results.of(decision, timeout)

    # -- running

    async def _follow(self) -> None:
        """For ever: load the store, feed it, and load it again when it is lost."""
        while True:
            try:
                await self._one_session()
            except* StoreLostError as group:
                log.warning("loading the store again: %s", _flat(group)[0])
            except* StoreError as group:
                self._refused = StoreError(*_flat(group)[0].args)
                log.error("the store cannot be used: %s", self._refused)  # noqa: TRY400 - told in full
            except* Exception as group:  # noqa: BLE001 - nothing may end the following; the gate is shut meanwhile
                places = ", ".join(_place(error) for error in _flat(group))
                log.error("following failed; starting again: %s", places)  # noqa: TRY400 - texts may hold data
            if self._refused is not None:
                return
            await asyncio.sleep(RETRY_SECONDS)

    async def _one_session(self) -> None:
        session = await Session.load(
            self._store, self.party, self._stale_seconds, self._spool, self._on_change
        )
        following = Following(
            self._bootstrap,
            permissions_of(self.party),
            session,
            security=self._security,
            troubles=self._troubles,
        )
        assert self._instance is not None
        sender = AckSender(self.party, self.subscriber, self._instance, acks(self.party), following.topics)
        acknowledger = Acknowledger(
            self._bootstrap,
            sender,
            session.acknowledgeable,
            following.verify,
            self._note,
            lambda: self.shut() is None,
            self._stale_seconds,
            security=self._security,
            troubles=self._troubles,
        )
        digests = Digests(
            self._bootstrap, sender, self._store, session, following.verify, security=self._security
        )

        def committed(delta: Delta) -> None:
            self._committed(delta, acknowledger)
            digests.asked(delta.asked)

        session.on_commit = committed
        if session.changes is not None:
            session.changes.on_confirm = lambda: acknowledger.committed(news=True)
        self._session, self._gate = session, Gate(self._whose, session.follower, self._denials)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(following.run())
                tasks.create_task(acknowledger.run())
                tasks.create_task(digests.run())
                if session.changes is not None:
                    tasks.create_task(session.changes.run())
        finally:
            self._gate = None

    def _note(self, mark: StoreMark) -> None:
        if self._spool is not None and self._store.durable:
            self._spool.acknowledging(mark)

    def _committed(self, delta: Delta, acknowledger: Acknowledger) -> None:
        acknowledger.committed(delta.news)
        for partition, _, beat in delta.beats:
            if ended := self._denials.beat(partition, beat.taken):
                self._start(self._end_denials(ended))

    async def _end_denials(self, ended: list[UUID]) -> None:
        """In the spool first: a disk that fails leaves them denied, until a later beat."""
        if self._spool is not None:
            try:
                await asyncio.to_thread(self._spool.forget, ended)
            except sqlite3.Error as error:
                self._telling.warn(
                    "the spool cannot be written, so local denials last longer: %s", type(error).__name__
                )
                return
        for decision in ended:
            self._denials.drop(decision)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task of the subscriber failed: %s", _place(error))


def _flat(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_flat(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{where}"
