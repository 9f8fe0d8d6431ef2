"""Metrics of campaigns. Labels are parties of the group, never people or campaigns."""

from prometheus_client import Counter, Gauge, Histogram

AUDIENCE = Histogram(
    "kielto_marketing_audience_people",
    "People addressed by a launch when it was complete.",
    ["party"],
    buckets=(1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000),
)
ADDRESSED = Counter("kielto_marketing_addressed_total", "People addressed by campaigns.", ["party"])
UNNAMED = Counter(
    "kielto_marketing_unnamed_points_total",
    "Contact points skipped because their digest cannot be decrypted.",
)
RECALLS = Counter("kielto_marketing_recalls_total", "People recalled from campaigns.", ["party"])
RECALL_SECONDS = Histogram(
    "kielto_marketing_recall_seconds",
    "Seconds from the broker's time of a change to the recall in the outbox.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
WAITING = Gauge(
    "kielto_marketing_launches_waiting",
    "1 while launches wait because marketing's copy of the permissions is stale.",
)
