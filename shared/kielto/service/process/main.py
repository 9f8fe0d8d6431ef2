"""The entry point of a service's process: build what every service shares, run API, consumers and relays, stop
gracefully.

    main("consents", Path(__file__).parent / "migrations", build)         # services/<name>/__main__.py

Without arguments the service runs (KIELTO_ROLES chooses: api, consumers, relay). Commands: `migrate`; `quarantine
list`, `quarantine replay ID`, `quarantine discard ID`; `snapshot FAMILY|--all [--wait]`; `epoch`, `epoch begin`;
`audit`, `void TOPIC PARTITION OFFSET`; and those of the service.
"""

import asyncio
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import structlog
import uvloop
from pydantic import ValidationError

from kielto import group as groups
from kielto.errors import KieltoError
from kielto.service.auditor import commands as audit_report
from kielto.service.database import migrations
from kielto.service.database import pool as postgres
from kielto.service.http.auth import Verifier
from kielto.service.http.server import AWAY, HttpServer
from kielto.service.inbox.input_freshness import InputFreshness
from kielto.service.outbox import parties
from kielto.service.process import commands
from kielto.service.process.platform import Build, Platform, quarantine_of
from kielto.service.process.running import RunningService
from kielto.service.support import logs
from kielto.service.support.bulk_throttle import BulkThrottle
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.limits import Limits
from kielto.service.support.settings import ServiceSettings
from kielto.service.support.supervise import supervise

log = structlog.get_logger(__name__)


def main(name: str, migrations: Path, build: Build, argv: Sequence[str] | None = None) -> None:
    """The process of one service. Exits 0 after a graceful stop, 1 when it must not start or go on."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            code = runner.run(_main(name, migrations, build, arguments))
        except (KieltoError, ValidationError) as error:
            print(f"{name}: does not start: {error}", file=sys.stderr)
            code = 1
    sys.exit(code)


async def _main(name: str, directory: Path, build: Build, arguments: list[str]) -> int:
    settings, limits = ServiceSettings(), Limits()
    _ = settings.security  # refused before anything is waited for
    logs.configure(settings.log_level, name)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    fronts = [] if arguments else _listening(settings, limits)
    pools: list[postgres.Pool] = []
    try:
        pools = await _database(settings.postgres_dsn, name, directory, stop, fronts, limits)
        if not pools or arguments == ["migrate"]:
            return 0
        pool, by_key, ready = pools
        group = groups.load(settings.group_file, settings.beat_seconds)
        keys = Keys.load(settings.keys_file)
        left = await (parties.left(pool, group) if arguments else parties.note(pool, group, keys))
        platform = Platform(
            settings=settings,
            group=group,
            keys=keys,
            pool=pool,
            by_key=by_key,
            ready=ready,
            verifier=Verifier(settings.jwks, settings.issuer, settings.audience, group.company_ids),
            inputs=InputFreshness(settings.kafka_bootstrap, pool, security=settings.security),
            throttle=BulkThrottle(settings.bulk_share),
            limits=limits,
            left=left,
        )
        service = build(platform)
        if arguments:
            audit = audit_report.commands(settings, pool, service.families)
            service = replace(service, commands={**service.commands, **audit})
            return await commands.run(arguments, pool, quarantine_of(platform, service), service)
        return await RunningService(name, platform, service, stop, *fronts).run()
    finally:
        for front in fronts:
            await front.end()
        for each in pools:
            each.terminate()


async def _database(
    dsn: str, name: str, directory: Path, stop: asyncio.Event, fronts: Iterable[HttpServer], limits: Limits
) -> "list[postgres.Pool]":
    """Migrate, and open three pools: for anything, for statements by key, and for /readyz. Waits while the database is
    away; returns none when told to stop.
    """

    async def prepare() -> list[postgres.Pool]:
        if done := await migrations.migrate(dsn, directory):
            log.info("database.migrated", migrations=done)
        return await _pools(dsn, name, limits)

    def away(_: Exception) -> None:
        for front in fronts:
            front.reason = AWAY

    return await supervise("database", prepare, postgres.AWAY, stop=stop, failed=away) or []


async def _pools(dsn: str, name: str, limits: Limits) -> list[postgres.Pool]:
    pools: list[postgres.Pool] = []
    try:
        pools.append(await postgres.open_pool(dsn, name=name, limits=limits))
        pools.append(await postgres.open_pool(dsn, name=name, by_key=True, limits=limits))
        pools.append(await postgres.open_pool(dsn, name=name, size=1))
    except BaseException:
        for pool in pools:
            pool.terminate()
        raise
    return pools


def _listening(settings: ServiceSettings, limits: Limits) -> list[HttpServer]:
    """The API's and the metrics'."""
    return [
        HttpServer(settings.http_host, settings.http_port, limits),
        HttpServer(settings.metrics_host, settings.metrics_port, limits, setting="KIELTO_METRICS_PORT"),
    ]
