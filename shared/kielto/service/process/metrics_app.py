"""Prometheus' exposition at /metrics, on a port of its own: it names companies and counts what they do."""

import asyncpg
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kielto.service.database.pool import Pool
from kielto.service.http.middleware import respond
from kielto.service.http.problem import ProblemError
from kielto.service.support import metrics


def metrics_app(pool: Pool) -> ASGIApp:
    """The ASGI application."""

    async def expose(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/metrics":
            await respond(ProblemError(404, "not-found", "Not found"), scope, receive, send)
            return
        await observe(pool)
        await Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)(scope, receive, send)

    return expose


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


async def observe(pool: Pool) -> None:
    """Set the gauges that the database knows; leaves them as they are while it is away."""
    try:
        row = await pool.fetchrow(_OBSERVE, timeout=2)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return
    assert row is not None
    metrics.OLDEST_MARK.labels("express").set(row["express"])
    metrics.OLDEST_MARK.labels("bulk").set(row["bulk"])
    metrics.OLDEST_REPORT.set(row["reports"])
    metrics.QUARANTINE_OPEN.set(row["quarantine"])
    metrics.EPOCH.set(row["epoch"] or 0)
    metrics.EPOCH_OPEN.set(row["epoch_open"])
