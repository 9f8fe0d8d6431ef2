"""The auditor's commands: a whole pass that says what is wrong, and a void by hand."""

from typing import Any, cast

import pytest

from kielto.events.topics import Lane
from kielto.kafka import CLEAR
from kielto.service.auditor import commands as audit_report
from kielto.service.support.settings import ServiceSettings
from tests.integration.service.auditor.auditing import auditing, caught_up, findings, last_versions, write
from tests.integration.service.support import Bench, key
from tests.waiting import until


class _Settings:
    """What the commands need of a process's settings."""

    def __init__(self, bench: Bench) -> None:
        self.postgres_dsn, self.kafka_bootstrap, self.security = bench.dsn, bench.bootstrap, CLEAR


async def run(service: Bench, name: str, *arguments: Any) -> int:
    settings = cast(ServiceSettings, _Settings(service))
    commands = audit_report.commands(settings, service.pool, [service.family])
    return await commands[name](list(map(str, arguments)))


async def test_a_whole_pass(service: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    k, lost = key(), key()
    for number in "12":
        await service.publish(k, number)
        await service.no_marks()
    async with auditing(service):
        await caught_up(service)
    assert await run(service, "audit") == 0
    assert capsys.readouterr().out == ""
    await service.stop_relays()
    offset = await write(service, Lane.EXPRESS, k, "1.1")
    await service.publish(lost, "1")
    await service.pool.execute("DELETE FROM marks")
    before = await service.pool.fetch("SELECT * FROM audit ORDER BY key")
    assert await run(service, "audit") == 1
    told = [line for line in capsys.readouterr().out.splitlines() if "\t" in line]  # no log lines
    assert sorted(line.split("\t")[1] for line in told) == ["regression", "vanished"]
    (regression,) = [line for line in told if "regression" in line]
    assert f"@{offset}\t1.1 stands behind 1.2" in regression
    assert k not in "".join(told)
    assert await service.pool.fetch("SELECT * FROM audit ORDER BY key") == before, "the auditor's own"
    service.relay(Lane.EXPRESS)
    await service.no_marks()
    assert await run(service, "audit") == 0
    assert sorted(await findings(service)) == sorted(
        [("regression", k, "repaired"), ("vanished", lost, "repaired")]
    )
    assert (await last_versions(service, Lane.EXPRESS, k))[-1] == "1.2"


async def test_a_void_by_hand(service: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    topic = service.family.bulk
    assert await run(service, "void", topic, 3, 17) == 0
    assert await run(service, "void", topic, 3, 17) == 0
    assert await run(service, "void", topic, 6, 17) == 1
    assert await run(service, "void", "company.x.restrictions.v1", 3, 17) == 1
    assert await run(service, "void", topic, "three", 17) == 2
    told = capsys.readouterr().out.splitlines()
    assert told[:3] == ["queued", "was queued before", "partition: is below 6; offset: below 2^63"]
    async with auditing(service):
        await until(lambda: _voided(service, 3, 17), "no void")


async def _voided(service: Bench, partition: int, offset: int) -> bool:
    voids = [e for e in await service.log() if e.key.startswith("!void")]
    return [(e.partition, e.event.partition, e.event.offset) for e in voids] == [(3, partition, offset)]
