"""Metrics of consents. Labels are ids of the group file (parties, subscribers), never personal data."""

from prometheus_client import Counter, Gauge, Histogram

DECISIONS_TAKEN = Counter(
    "kielto_decisions_total", "Decisions taken, by act and whether they wait.", ["act", "state"]
)
DECISIONS_WIDENED = Counter(
    "kielto_decisions_widened_total",
    "Decisions of the party's topic that broke a rule and were read in their broadest sense.",
    ["party"],
)
APPLIED_SECONDS = Histogram(
    "kielto_decision_applied_seconds",
    "Seconds from a decision's receipt to the broker's time of the first acknowledgement that covers it.",
    ["subscriber"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600),
)
SUBSCRIBER_LATE_SECONDS = Gauge(
    "kielto_subscriber_late_seconds",
    "Age of the oldest record that the subscriber has not applied; 0 when it has all, -1 when it was never seen.",
    ["subscriber"],
)
DECISIONS_OVERDUE = Gauge(
    "kielto_decisions_overdue",
    "Decisions that the subscriber has not applied by its deadline.",
    ["subscriber"],
)

CLAIMS_BEYOND_END = Counter(
    "kielto_claims_beyond_end_total",
    "Positions that the subscriber acknowledged beyond the end of their topic: it cannot have read them.",
    ["subscriber"],
)

DELIVERIES_JUDGED = Counter(
    "kielto_deliveries_judged_total",
    "Reported deliveries compared with the decisions in force, by finding.",
    ["found"],
)
BREACHES_OPEN = Gauge(
    "kielto_breaches_open",
    "Breaches that no officer has explained or closed.",
)
RECONCILIATION_DIFFERENCES = Gauge(
    "kielto_reconciliation_differences",
    "Records that a store of the subscriber holds differently from what was published, not resolved yet.",
    ["subscriber"],
)
RECONCILIATION_DROPPED = Counter(
    "kielto_reconciliation_dropped_total",
    "Answers of the party's subscribers that were dropped because it had reached its limit for an hour.",
    ["party"],
)

CONSEQUENCES_PENDING = Gauge(
    "kielto_consequences_pending",
    "Decisions about many customers whose records do not all show them yet; beats are withheld meanwhile.",
)
CONSEQUENCES_SECONDS = Gauge(
    "kielto_consequences_oldest_seconds", "How long the oldest of those decisions has been committed."
)

FOREIGN_BANS = Gauge(
    "kielto_foreign_bans",
    "A party's bans of the last hour that reach beyond it and are about people who are none of its own; counted "
    "by processes that relay.",
    ["party"],
)
HELD_BANS = Gauge(
    "kielto_held_bans",
    "Such bans above the limit, which deny at the party alone until an officer releases them.",
    ["party"],
)

WAITING_YESES = Gauge(
    "kielto_waiting_yeses",
    "Consents and liftings of a party's topic that wait for their customers to become known.",
    ["party"],
)

SHARED_ADDRESSES = Gauge(
    "kielto_shared_addresses",
    "Addresses that more than 100 customers have; counted each hour by processes that relay.",
)

SEALED_DECISIONS = Counter(
    "kielto_sealed_decisions_total", "Decisions added to the signed log by this process."
)
UNSEALED_DECISIONS = Gauge("kielto_unsealed_decisions", "Decisions that are in no signed batch yet.")


def taken(act: str, *, pending: bool) -> None:
    """Count a decision; call it after the commit, or at the end of the transaction of a message."""
    DECISIONS_TAKEN.labels(act, "pending" if pending else "in_force").inc()
