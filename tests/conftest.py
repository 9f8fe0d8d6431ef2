"""The real servers that integration and end-to-end tests use: one stack a session, one database a test."""

import asyncio
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from hypothesis import configuration, settings

from deploy.local.install import account
from deploy.local.paths import HOME
from deploy.local.servers import processes
from deploy.local.servers.kafka import Kafka
from deploy.local.servers.stack import Stack
from kielto.service.database.migrations import migrate
from tests.databases import copy_database, drop_database
from tests.nursery import Nursery

Migrated = Callable[[str, Path | None], Awaitable[str]]

configuration.set_hypothesis_home_dir(HOME / "hypothesis")
# A busy machine makes single examples slow; pytest's own time limit bounds each test.
settings.register_profile("kielto", deadline=None, print_blob=True)
settings.load_profile("kielto")
# A shell ignores Ctrl-C for what it runs in the background, and so would every child that a test interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
nursery = Nursery()
processes.spawn = nursery.start


def pytest_unconfigure() -> None:
    processes.stop_all()
    nursery.end()


@pytest.fixture(scope="session")
def enterable(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Where PostgreSQL runs as another account, that account may pass through pytest's closed folders."""
    if account.choose().ids is None:
        return lambda folder: folder

    def enter(folder: Path) -> Path:
        folder.chmod(0o711)
        return folder

    base = enter(tmp_path_factory.getbasetemp())
    if base.parent.name.startswith("pytest-of-"):  # else --basetemp was given: what is above is not ours
        enter(base.parent)
    return enter


@pytest.fixture
def tmp_path(tmp_path: Path, enterable: Callable[[Path], Path]) -> Path:
    return enterable(tmp_path)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, enterable: Callable[[Path], Path]) -> Iterator[Stack]:
    """PostgreSQL and Kafka or the running ones of KIELTO_POSTGRES, KIELTO_KAFKA; shared, so never stopped."""
    # Nothing here outlives the session, so nothing has to survive a power cut.
    with Stack(enterable(tmp_path_factory.mktemp("stack")), postgres={"fsync": "off"}) as stack:
        yield stack


@pytest.fixture(scope="module")
def few_topics(stack: Stack) -> Iterator[None]:
    """A broker that rests takes 3 % of a core with ten topics of ours, and 43 % with 800: it keeps one file's only."""
    yield
    if stack.kafka.managed:
        _forget_topics(stack.kafka.bootstrap)


def _forget_topics(bootstrap: str) -> None:
    async def forget() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            while ours := [name for name in await admin.list_topics() if not name.startswith("__")]:
                await admin.delete_topics(ours)
        finally:
            await admin.close()

    with ThreadPoolExecutor() as thread:  # a test's own event loop may be there already
        thread.submit(asyncio.run, forget()).result()


@pytest.fixture
def database(stack: Stack) -> Iterator[Callable[[str], str]]:
    """`database("consents")` makes a new, empty database with its own role and returns that role's DSN."""
    made: list[str] = []

    def make(name: str = "test") -> str:
        made.append(f"{name}_{secrets.token_hex(4)}")
        return stack.postgres.create_database(made[-1])

    yield make
    for name in made:
        drop_database(stack.postgres, name)


@pytest.fixture(scope="session")
def templates(stack: Stack) -> Iterator[dict[Path | None, str]]:
    """By the folder of its migrations: the DSN of a database that has had them, to be copied and nothing else."""
    made: dict[Path | None, str] = {}
    yield made
    for dsn in made.values():
        drop_database(stack.postgres, dsn.rpartition("/")[2])


@pytest.fixture
def migrated(stack: Stack, templates: dict[Path | None, str]) -> Iterator[Migrated]:
    """`await migrated("consents", MIGRATIONS)` makes a new database with the service's tables; returns its DSN.

    Copied from one that was migrated before: that takes a third of the time of migrating each.
    """
    made: list[str] = []

    async def make(name: str, migrations: Path | None) -> str:
        if migrations not in templates:
            dsn = stack.postgres.create_database(f"{name}_{secrets.token_hex(4)}")
            await migrate(dsn, migrations)
            templates[migrations] = dsn
        made.append(f"{name}_{secrets.token_hex(4)}")
        return copy_database(stack.postgres, templates[migrations], made[-1])

    yield make
    for name in made:
        drop_database(stack.postgres, name)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """Not started: `kafka` does that."""
    made = Kafka(tmp_path_factory.mktemp("broker") / "kafka")
    yield made
    made.stop()


@pytest.fixture
def kafka(broker: Kafka) -> Kafka:
    """A broker without topics, for one test at a time: to stop, to kill, or for topics whose names are fixed."""
    if not broker.running:
        broker.start()
    _forget_topics(broker.bootstrap)
    return broker
