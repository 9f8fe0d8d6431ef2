"""Traces (W3C Trace Context) and metrics (Prometheus).

The trace of a request or message is kept in a context variable, stored on the mark, and restored by the
relay: the same trace on our internal topics, a fresh trace id for each company and partner, joined only in
`publications`.
"""

import os
import re
from contextvars import ContextVar

import asyncpg
from prometheus_client import Counter, Gauge, Histogram

from kielto.service.database.pool import Pool

_FORMAT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def current() -> str | None:
    """The traceparent of the request or message at hand: pass it to `outbox.publish`."""
    return _current.get()


def begin(traceparent: str | None) -> str:
    """Continue the given trace with a span of ours, or start one when it is missing or malformed; now
    current.
    """
    value = child(traceparent) if traceparent and _FORMAT.fullmatch(traceparent) else fresh()
    _current.set(value)
    return value


def fresh() -> str:
    drawn = os.urandom(24).hex()
    return f"00-{drawn[:32]}-{drawn[32:]}-01"


def child(traceparent: str) -> str:
    """The same trace, a new span."""
    return f"{traceparent[:36]}{os.urandom(8).hex()}{traceparent[52:]}"


def trace_id(traceparent: str) -> str:
    return traceparent[3:35]


relay_leads = Gauge("kielto_relay_leads", "1 while this process leads the lane.", ["lane"])
relay_failures = Counter("kielto_relay_failures_total", "Times the lane began again.", ["lane"])
quarantined = Counter("kielto_quarantined_total", "Messages put into quarantine.", ["topic"])
retries = Counter("kielto_inbox_retries_total", "Times a partition was set back to try again.", ["topic"])
lag = Gauge("kielto_inbox_lag", "Messages of the topic that are not taken in yet.", ["topic"])
standing = Gauge(
    "kielto_inbox_standing_seconds",
    "Since when a partition of the topic has something to read and reads nothing.",
    ["topic"],
)
restarts = Counter(
    "kielto_consumer_restarts_total", "Times the consumers began again, by the kind of error.", ["cause"]
)
open_topics = Gauge(
    "kielto_topics_open", "Topics of others that this service may write: the borders are open."
)
requests = Histogram(
    "kielto_http_request_seconds",
    "Requests by method, route and status.",
    ["method", "route", "status"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
oldest_mark = Gauge("kielto_oldest_mark_seconds", "Age of the oldest unpublished mark.", ["lane"])
oldest_report = Gauge("kielto_oldest_report_seconds", "Age of the oldest unpublished report.")
audit_findings = Counter(
    "kielto_audit_findings_total", "What the auditor found wrong in our topics.", ["kind"]
)
audit_leads = Gauge("kielto_audit_leads", "1 while this process audits the service's own topics.")
audit_open = Gauge("kielto_audit_open", "Findings that are not repaired yet.")
audit_lag = Gauge("kielto_audit_lag", "Records of our own topics that are not audited yet.")
audit_lag_seconds = Gauge(
    "kielto_audit_lag_seconds", "Since when some record of our own topics is not audited."
)
epoch = Gauge("kielto_epoch", "The epoch that was begun last.")
epoch_open = Gauge("kielto_epoch_open", "1 while decisions are taken, relayed and cleared in it.")
open_quarantine = Gauge("kielto_quarantine_open", "Messages in quarantine.")


async def observe(pool: Pool) -> None:
    """Set the gauges that the database knows; leaves them as they are while it is away."""
    try:
        row = await pool.fetchrow(_OBSERVE, timeout=2)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return
    assert row is not None
    oldest_mark.labels("express").set(row["express"])
    oldest_mark.labels("bulk").set(row["bulk"])
    oldest_report.set(row["reports"])
    open_quarantine.set(row["quarantine"])
    epoch.set(row["epoch"] or 0)
    epoch_open.set(row["epoch_open"])


_OBSERVE = """
SELECT
    coalesce(extract(epoch FROM clock_timestamp() - (
        SELECT created_at FROM marks WHERE lane = 'express' ORDER BY id LIMIT 1)), 0)::float8 AS express,
    coalesce(extract(epoch FROM clock_timestamp() - (
        SELECT created_at FROM marks WHERE lane = 'bulk' ORDER BY id LIMIT 1)), 0)::float8 AS bulk,
    coalesce(extract(epoch FROM clock_timestamp() - (
        SELECT created_at FROM reports ORDER BY id LIMIT 1)), 0)::float8 AS reports,
    (SELECT count(*) FROM quarantine WHERE state = 'open') AS quarantine,
    (SELECT epoch FROM epoch) AS epoch,
    EXISTS (SELECT FROM current_epoch WHERE checked) AS epoch_open"""
