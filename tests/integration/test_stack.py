"""The two servers: they keep what they were given, and can be stopped, killed, paused and replaced."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from deploy.local.install import account, files, postgres_files
from deploy.local.paths import ROOT
from deploy.local.progress import LocalError
from deploy.local.servers.kafka import Kafka
from deploy.local.servers.postgres import Postgres
from deploy.local.servers.processes import ProcessFailedError
from deploy.local.servers.stack import DirectoryInUseError, Stack
from kielto import kafka as client
from kielto.events.topics import all_topics
from tests.databases import copy_database, drop_database

TOPIC = next(iter(all_topics(("company.a",)))).name


async def query(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def write(bootstrap: str, value: bytes) -> None:
    await client.create_topics(bootstrap, list(all_topics(("company.a",)))[:1])
    producer = client.producer(bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(TOPIC, value, key=b"k", partition=0)
    finally:
        await producer.stop()


async def read(bootstrap: str) -> list[bytes]:
    consumer = client.consumer(bootstrap)
    await consumer.start()
    try:
        partition = client.TopicPartition(TOPIC, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        end = (await client.end_offsets(consumer, [partition]))[partition]
        found: list[bytes] = []
        while len(found) < end:
            found += [record.value for record in (await consumer.getmany(timeout_ms=500)).get(partition, [])]
        return found
    finally:
        await consumer.stop()


async def test_a_database_belongs_to_its_role_alone(database: Callable[[str], str]) -> None:
    ours, others = database("one"), database("two")
    assert str(await query(ours, "SHOW server_version")).startswith("18.")
    await query(ours, "CREATE TABLE own (id int)")
    role = ours.split("//")[1].split("@")[0]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await query(f"postgresql://{role}@{others.split('@')[1]}", "SELECT 1")


async def test_a_copied_database_is_one_of_its_own(stack: Stack, database: Callable[[str], str]) -> None:
    template, others = database("template"), database("others")
    await query(template, "CREATE TABLE own (id int)")
    copy = copy_database(stack.postgres, template, "copied")
    try:
        await query(copy, "INSERT INTO own VALUES (1)")
        assert (
            await query(copy, "SELECT count(*) FROM own"),
            await query(template, "SELECT count(*) FROM own"),
        ) == (1, 0)
        role = others.split("//")[1].split("@")[0]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await query(f"postgresql://{role}@{copy.split('@')[1]}", "SELECT 1")
    finally:
        drop_database(stack.postgres, "copied")


def test_asking_for_a_database_again_gives_the_same(stack: Stack) -> None:
    assert stack.postgres.create_database("again") == stack.postgres.create_database("again")
    drop_database(stack.postgres, "again")
    with pytest.raises(ValueError, match="database name"):
        stack.postgres.create_database("x; DROP DATABASE again")


@pytest.mark.skipif(bool(os.environ.get("KIELTO_POSTGRES")), reason="only our own server is tuned")
async def test_postgres_is_durable_and_on_loopback_only(tmp_path: Path) -> None:
    server = Postgres(tmp_path)
    server.start()
    try:
        assert await query(server.dsn(), "SHOW fsync") == "on"
        assert await query(server.dsn(), "SHOW synchronous_commit") == "on"
        listening = {c.laddr.ip for c in psutil.Process(server.process.pid).net_connections()}
        assert listening == {"127.0.0.1"}
    finally:
        server.stop()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_postgres_keeps_its_data(tmp_path: Path, how: str) -> None:
    server = Postgres(tmp_path)
    server.start()
    dsn = server.create_database("kept")
    await query(dsn, "CREATE TABLE kept AS SELECT 7 AS n")
    getattr(server, how)()
    assert not server.process.running
    server.start()
    assert await query(dsn, "SELECT n FROM kept") == 7
    server.stop()


def test_kafka_listens_on_loopback_only(kafka: Kafka) -> None:
    connections = psutil.Process(kafka.process.pid).net_connections()
    listening = {c.laddr.ip.removeprefix("::ffff:") for c in connections if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become someone else")
def test_an_account_that_cannot_reach_the_programs_is_told_so(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    program = closed / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    with pytest.raises(LocalError, match="may not enter"):
        account.choose(namespaces=False).run([str(program)])


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_kafka_keeps_its_log_and_port(kafka: Kafka, how: str) -> None:
    await write(kafka.bootstrap, b"before")
    getattr(kafka, how)()
    assert not kafka.process.running
    kafka.start()
    await write(kafka.bootstrap, b"after")
    assert await read(kafka.bootstrap) == [b"before", b"after"]


async def test_a_paused_kafka_answers_again(kafka: Kafka) -> None:
    await write(kafka.bootstrap, b"before")
    kafka.process.pause()
    sending = asyncio.create_task(write(kafka.bootstrap, b"after"))
    _, waiting = await asyncio.wait([sending], timeout=1)
    assert waiting
    kafka.process.resume()
    await sending
    assert await read(kafka.bootstrap) == [b"before", b"after"]


async def test_kafka_makes_no_topic_by_itself(kafka: Kafka) -> None:
    consumer = client.consumer(kafka.bootstrap)
    await consumer.start()
    assert await client.topic_ids(consumer, ["never.made"]) == {}
    await asyncio.sleep(0.2)
    assert "never.made" not in await consumer.topics()
    await consumer.stop()


STACK = """
import pathlib, sys, time
from deploy.local.servers.stack import Stack
with Stack(pathlib.Path(sys.argv[1]), kafka={"num.io.threads": sys.argv[2]}) as stack:
    print(stack.kafka.process.pid, stack.postgres.process.pid, flush=True)
    time.sleep(60)
"""


def start_stack(folder: Path, io_threads: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'shared'}"}
    return subprocess.Popen(
        [sys.executable, "-c", STACK, str(folder), io_threads],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def running_in(folder: Path) -> list[int]:
    """Every process that has the folder on its command line, or whose working directory it holds."""
    found = []
    for process in psutil.process_iter():
        try:
            command, cwd = process.cmdline(), process.cwd()
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(folder) in word for word in [*command, cwd]):
            found.append(process.pid)
    return found


def wait_until_gone(folder: Path) -> None:
    until = time.monotonic() + 20
    while left := running_in(folder):
        assert time.monotonic() < until, f"left running: {left}"
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_server_outlives_the_one_who_started_it(tmp_path: Path, number: signal.Signals) -> None:
    parent = start_stack(tmp_path, "4")
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert set(pids) <= set(running_in(tmp_path))
    parent.send_signal(number)
    parent.wait(30)
    parent.stdout.close()
    wait_until_gone(tmp_path)


def test_a_start_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    parent = start_stack(tmp_path, "none")
    assert parent.wait(60) != 0
    assert parent.stdout is not None
    parent.stdout.close()
    wait_until_gone(tmp_path)


def test_one_folder_has_one_stack(tmp_path: Path) -> None:
    first, second = Stack(tmp_path), Stack(tmp_path)
    with first, pytest.raises(DirectoryInUseError):
        second.start()
    first.forget()
    assert not (tmp_path / "kafka").exists()


async def test_running_servers_take_the_place_of_ours(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIELTO_POSTGRES", stack.postgres.dsn())
    monkeypatch.setenv("KIELTO_KAFKA", stack.kafka.bootstrap)
    with Stack(tmp_path) as other:
        dsn = other.postgres.create_database("elsewhere")
        assert await query(dsn, "SELECT 1") == 1
        drop_database(other.postgres, "elsewhere")
        assert other.kafka.bootstrap == stack.kafka.bootstrap
        with pytest.raises(ProcessFailedError, match="KIELTO_KAFKA is a server that somebody else runs"):
            other.kafka.stop()
        with pytest.raises(ProcessFailedError, match="KIELTO_POSTGRES is a server that somebody else runs"):
            other.postgres.kill()
    assert await query(stack.postgres.dsn(), "SELECT 1") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become someone else")
def test_as_root_without_namespaces_postgres_runs_as_another_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = account.choose(namespaces=False)
    assert other.ids is not None
    programs = postgres_files.install()
    monkeypatch.setattr(account, "choose", lambda: other)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        files.copy(programs, Path(folder) / "programs")
        monkeypatch.setattr(postgres_files, "install", lambda: Path(folder) / "programs")
        monkeypatch.setattr(postgres_files, "HOME", Path(folder) / "home")
        server = Postgres(Path(folder) / "server")
        server.start()
        assert psutil.Process(server.process.pid).uids().effective == other.ids[0]
        assert asyncio.run(query(server.dsn(), "SELECT 1")) == 1
        server.stop()
