"""Names, partitions, settings and owners of all topics, derived from the group alone.

Names, partition count and partitioner never change. Each topic has one writer and one lane. State records travel on a
*pair* of compacted topics: `restrictions` is the express lane, for whatever takes a permission away and for heartbeats;
the other one is the bulk lane.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from kielto.events import control, messages
from kielto.events.base import Event
from kielto.events.records import CompanyCustomer, Customer, CustomerPermissions, Permissions
from kielto.events.results import DecisionResult

PARTITIONS = 6
DAY_MS = 86_400_000
MIN_COMPACTION_LAG_MS = 2 * DAY_MS  # above the auditor's alarm: a wrong late record is found before it wins
MAX_COMPACTION_LAG_MS = 7 * DAY_MS  # bounds erasure, together with heartbeats in every partition
RETAINED_MS = 37 * DAY_MS  # the oldest backup that may be restored (30 days) plus 7
_SETTINGS = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(512 * 1024)}


class Lane(StrEnum):
    EXPRESS = "express"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Family:
    """State records of one writer, on a pair of topics (for `….customers` on one topic)."""

    name: str
    """`customers`, `consents`, `company.<id>`, `partner.<id>`, `company.<id>.customers`."""
    writer: str
    record: type[Event]
    bulk: str
    express: str | None

    def topic(self, lane: Lane) -> str:
        return self.express if lane is Lane.EXPRESS and self.express else self.bulk


@dataclass(frozen=True, slots=True)
class Topic:
    name: str
    writer: str
    """A service, or `company.<id>`, `partner.<id>`."""
    readers: tuple[str, ...]
    carries: tuple[type[Event], ...]
    config: dict[str, str] = field(hash=False)
    partitions: int = PARTITIONS

    @property
    def vouches(self) -> bool:
        """Whether its beats prove freshness. Those of the bulk topics only keep compaction going."""
        return self.name.endswith(".restrictions.v1")


CUSTOMERS = Family("customers", "customers", Customer, "customers.state.v1", "customers.restrictions.v1")
CONSENTS = Family(
    "consents", "consents", CustomerPermissions, "consents.state.v1", "consents.restrictions.v1"
)
MARKETING_EVENTS = "marketing.events.v1"


def permissions_of(party: str) -> Family:
    """The permissions of a party, `company.<id>` or `partner.<id>`."""
    return Family(party, "consents", Permissions, f"{party}.permissions.v1", f"{party}.restrictions.v1")


def customers_of(party: str) -> Family:
    return Family(f"{party}.customers", "customers", CompanyCustomer, f"{party}.customers.v1", None)


def audiences(party: str) -> str:
    return f"{party}.audiences.v1"


def decisions(party: str) -> str:
    return f"{party}.decisions.v1"


def results(party: str) -> str:
    return f"{party}.results.v1"


def acks(party: str) -> str:
    return f"{party}.acks.v1"


def reports(party: str) -> str:
    return f"{party}.reports.v1"


def families(parties: Iterable[str]) -> Iterator[Family]:
    yield from (CUSTOMERS, CONSENTS)
    for party in parties:
        yield permissions_of(party)
        yield customers_of(party)


def _compacted() -> dict[str, str]:
    return _SETTINGS | {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(MIN_COMPACTION_LAG_MS),
        "max.compaction.lag.ms": str(MAX_COMPACTION_LAG_MS),
        "delete.retention.ms": str(DAY_MS),
    }


def _retained(milliseconds: int) -> dict[str, str]:
    return _SETTINGS | {"cleanup.policy": "delete", "retention.ms": str(milliseconds)}


def all_topics(parties: Iterable[str]) -> Iterator[Topic]:
    """Every topic of the group. `parties` are `company.<id>` and `partner.<id>`, in any order."""
    express: tuple[type[Event], ...] = (control.Beat, control.Void, control.Reconcile)
    bulk: tuple[type[Event], ...] = (control.SnapshotComplete, control.Beat)
    parties = sorted(parties)
    readers = {"customers": ("consents", "marketing"), "consents": ("marketing",)}
    for family in families(parties):
        who = readers.get(family.name, (family.name.removesuffix(".customers"),))
        if family.express:
            yield Topic(family.express, family.writer, who, (family.record, *express), _compacted())
        yield Topic(family.bulk, family.writer, who, (family.record, *bulk), _compacted())
    told = (messages.MarketingEvent, messages.Unaddressed)
    yield Topic(MARKETING_EVENTS, "marketing", ("consents",), told, _retained(RETAINED_MS))
    for party in parties:
        yield Topic(audiences(party), "marketing", (party,), (messages.Audience,), _retained(7 * DAY_MS))
        yield Topic(decisions(party), party, ("consents",), (messages.Decision,), _retained(RETAINED_MS))
        yield Topic(results(party), "consents", (party,), (DecisionResult,), _retained(RETAINED_MS))
        said = (messages.Acknowledgement, messages.StoreDigest, messages.StoreListing)
        yield Topic(acks(party), party, ("consents",), said, _retained(RETAINED_MS))
        yield Topic(reports(party), party, ("marketing",), (messages.Report,), _retained(RETAINED_MS))
