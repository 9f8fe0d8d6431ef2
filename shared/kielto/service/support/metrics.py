"""Metrics of every service (Prometheus)."""

from prometheus_client import Counter, Gauge, Histogram

RELAY_LEADS = Gauge("kielto_relay_leads", "1 while this process leads the lane.", ["lane"])
RELAY_FAILURES = Counter(
    "kielto_relay_failures_total", "How often the lane started again after a failure.", ["lane"]
)
QUARANTINED = Counter("kielto_quarantined_total", "Messages put into quarantine.", ["topic"])
INBOX_RETRIES = Counter(
    "kielto_inbox_retries_total", "How often a partition was set back to retry.", ["topic"]
)
INBOX_LAG = Gauge("kielto_inbox_lag", "Messages of the topic that are not processed yet.", ["topic"])
INBOX_STANDING = Gauge(
    "kielto_inbox_standing_seconds",
    "Seconds for which a partition of the topic has had messages and processed none.",
    ["topic"],
)
CONSUMER_RESTARTS = Counter(
    "kielto_consumer_restarts_total",
    "How often the consumers started again, by the kind of error.",
    ["cause"],
)
OPEN_TOPICS = Gauge(
    "kielto_topics_open", "Topics of other writers that this service may write: access control is missing."
)
REQUEST_SECONDS = Histogram(
    "kielto_http_request_seconds",
    "Requests by method, route and status.",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
OLDEST_MARK = Gauge("kielto_oldest_mark_seconds", "Age of the oldest unpublished mark.", ["lane"])
OLDEST_REPORT = Gauge("kielto_oldest_report_seconds", "Age of the oldest unpublished report.")
AUDIT_FINDINGS = Counter(
    "kielto_audit_findings_total", "Findings of the auditor in the service's own topics.", ["kind"]
)
AUDIT_LEADS = Gauge("kielto_audit_leads", "1 while this process audits the service's own topics.")
AUDIT_OPEN = Gauge("kielto_audit_open", "Findings that are not repaired.")
AUDIT_LAG = Gauge("kielto_audit_lag", "Records of the service's own topics that are not audited.")
AUDIT_LAG_SECONDS = Gauge(
    "kielto_audit_lag_seconds",
    "Seconds for which some record of the service's own topics has not been audited.",
)
EPOCH = Gauge("kielto_epoch", "The epoch that was begun last.")
EPOCH_OPEN = Gauge(
    "kielto_epoch_open", "1 while the epoch is open: writes are accepted, relayed and cleared."
)
QUARANTINE_OPEN = Gauge("kielto_quarantine_open", "Messages in quarantine.")
RELAY_REFUSED = Counter(
    "kielto_relay_refused_total",
    "How often a topic rejected a record permanently, by the kind of error; the topic's records wait meanwhile.",
    ["topic", "kind"],
)
