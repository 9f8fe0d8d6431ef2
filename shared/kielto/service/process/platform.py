"""What every service is built from, and what it is made of."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter

from kielto.events.control import AboutParty
from kielto.events.topics import Family
from kielto.group import Group
from kielto.service.database.pool import Pool
from kielto.service.http.auth import Verifier
from kielto.service.http.openapi import Operations
from kielto.service.inbox.handlers import Subscription
from kielto.service.inbox.input_freshness import InputFreshness
from kielto.service.inbox.quarantine import Quarantine
from kielto.service.outbox.heartbeats import Withheld, nothing_withheld
from kielto.service.recovery.new_epoch import TakeIn
from kielto.service.support.bulk_throttle import BulkThrottle
from kielto.service.support.clock import Clock, utc_now
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.limits import Limits
from kielto.service.support.settings import ServiceSettings


@dataclass(frozen=True, slots=True)
class Platform:
    """What every service is built from."""

    settings: ServiceSettings
    group: Group
    keys: Keys
    pool: Pool
    by_key: Pool
    """The same database, for small transactions that find everything by key (`postgres.BY_KEY`)."""
    ready: Pool
    """One connection for /readyz alone."""
    verifier: Verifier
    inputs: InputFreshness
    courtesy: BulkThrottle
    limits: Limits = field(default_factory=Limits)
    clock: Clock = utc_now
    left: frozenset[str] = frozenset()
    """Parties that were of the group and are no more (`company.<id>`, `partner.<id>`)."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a service is made of; returned by its `build(platform)`."""

    families: tuple[Family, ...]
    """The state that it writes."""
    routers: Sequence[APIRouter] = ()
    operations: Operations = field(default_factory=dict)
    """What the description says of its routes beside what FastAPI knows."""
    streamed: Sequence[str] = ()
    """Paths whose bodies are streams, without a limit as a whole."""
    body_bytes: Mapping[str, int] = field(default_factory=dict)
    """By path: of those that take more than others."""
    subscriptions: Sequence[Subscription] = ()
    begin_again: tuple[type[Exception], ...] = ()
    """What its handlers raise when somebody else was quicker: roll back and begin again."""
    taken: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By family name: the topics whose positions its beats carry (`company.a`: (decisions("company.a"),))."""
    beat_gate: Callable[[], bool] = lambda: True
    """Beats are withheld while it says False."""
    about: Mapping[str, AboutParty] = field(default_factory=dict)
    """By family name: what its beats say of the party."""
    beats_withheld: Withheld = nothing_withheld
    """Families for which no beat may be written just now, asked for at each look (`heartbeats.py`)."""
    take_in: TakeIn | None = None
    """What a restored database takes back out of the service's own topics."""
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    """Tasks that run as long as the process (any role), restarted with backoff when they raise."""
    commands: Mapping[str, Callable[[Sequence[str]], Awaitable[int]]] = field(default_factory=dict)
    """By their first word, beside those of every service: given the other words, returns the exit status."""


def quarantine_of(platform: Platform, service: Service) -> Quarantine:
    topics = {topic.name: topic for topic in platform.group.topics()}
    return Quarantine(platform.pool, platform.keys, topics, service.subscriptions, service.begin_again)


Build = Callable[[Platform], Service]
