"""What every service is built from (`Platform`), and what it consists of (`Service`)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fastapi import APIRouter

from kielto.clock import Clock, utc_now
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
    """A pool for small transactions that find everything by key (`pool.BY_KEY`)."""
    ready: Pool
    """A pool of one connection, for /readyz only."""
    verifier: Verifier
    inputs: InputFreshness
    throttle: BulkThrottle
    limits: Limits = field(default_factory=Limits)
    clock: Clock = utc_now
    left: frozenset[str] = frozenset()
    """Parties that left the group (`company.<id>`, `partner.<id>`)."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a service consists of; returned by its `build(platform)`."""

    families: tuple[Family, ...]
    """The families of records that it writes."""
    routers: Sequence[APIRouter] = ()
    operations: Operations = field(default_factory=dict)
    """Names and problems of its routes, for the OpenAPI description."""
    streamed: Sequence[str] = ()
    """Paths with streamed bodies, which have no total limit."""
    body_bytes: Mapping[str, int] = field(default_factory=dict)
    """By path: the largest body in bytes, where it differs from the general limit."""
    subscriptions: Sequence[Subscription] = ()
    begin_again: tuple[type[Exception], ...] = ()
    """Errors by which its handlers say that another transaction was quicker: roll back and begin again."""
    taken: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By family name: the topics whose positions its heartbeats carry (`company.a`: (decisions("company.a"),))."""
    beat_gate: Callable[[], bool] = lambda: True
    """Heartbeats are withheld while it returns False."""
    about: Mapping[str, AboutParty] = field(default_factory=dict)
    """By family name: what its heartbeats say about the party."""
    beats_withheld: Withheld = nothing_withheld
    """Families for which no heartbeat may be written now; called at each look (`heartbeats.py`)."""
    take_in: TakeIn | None = None
    """What to restore from the service's own topics after a database was restored."""
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    """Tasks that run as long as the process (any role), restarted with backoff when they raise."""
    at_relays: Sequence[Callable[[], Awaitable[None]]] = ()
    """Tasks of processes with the role `relay`: it is enough that one process does them."""
    commands: Mapping[str, Callable[[Sequence[str]], Awaitable[int]]] = field(default_factory=dict)
    """Commands beside those of every service, by their name: one word, or a word and a verb (`seals verify`). Each is
    called with the words after the first and returns the exit status. The audit trail records the name.
    """


def quarantine_of(platform: Platform, service: Service) -> Quarantine:
    topics = {topic.name: topic for topic in platform.group.topics()}
    return Quarantine(platform.pool, platform.keys, topics, service.subscriptions, service.begin_again)


Build = Callable[[Platform], Service]
