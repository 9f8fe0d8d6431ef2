"""Ruff, mypy and the import contracts hold for the whole repository, and a planted breach is found."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy.local.paths import ROOT

LINT_IMPORTS = (
    "-c",
    "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())",
    "--no-logo",
    "--cache-dir=.kielto/import_linter",
)


def run(*command: str, root: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'shared'}"}
    return subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True, check=False
    )


def test_ruff_finds_nothing() -> None:
    done = run("-m", "ruff", "check", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_would_format_nothing() -> None:
    done = run("-m", "ruff", "format", "--check", "--quiet")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(600)
def test_types_are_right() -> None:
    done = run("-m", "mypy")
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_go_one_way() -> None:
    done = run(*LINT_IMPORTS)
    assert done.returncode == 0, done.stdout + done.stderr


BREACHES = [
    ("shared/kielto/events/planted.py", "import kielto.group", "The contract stands alone"),
    ("shared/kielto/events/planted.py", "import kielto.proof", "The contract stands alone"),
    ("shared/kielto/group.py", "import kielto.kafka", "The group knows the contract only"),
    ("shared/kielto/kafka/planted.py", "import services.consents", "The plumbing knows no service"),
    ("services/consents/shortcuts.py", "import services.consents.store", "Within a service"),
    ("services/consents/api/planted.py", "import services.consents.projections", "Projections are"),
    ("services/consents/model/planted.py", "import asyncpg", "A service's model is pure"),
    (
        "services/customers/model/planted.py",
        "import kielto.service.database.pool",
        "A service's model is pure",
    ),
    ("services/customers/use_cases/planted.py", "import fastapi", "Use cases and store"),
    ("services/consents/use_cases/planted.py", "import kielto.service.process.main", "Only app"),
    ("services/customers/settings.py", "import deploy.local.paths", "A service needs no tools"),
    ("services/consents/api/planted.py", "import kielto.contract.examples", "A service needs no tools"),
    ("shared/kielto/subscriber/planted.py", "import kielto.service", "Outside systems need none"),
    ("shared/kielto/subscriber/planted.py", "import aiokafka", "Only the adapter speaks to aiokafka"),
    (
        "services/consents/model/planted.py",
        "import services.customers",
        "Services never import each other",
    ),
    (
        "shared/kielto/subscriber/gate/planted.py",
        "import kielto.subscriber.sync.session",
        "Within the subscriber library",
    ),
    ("shared/kielto/subscriber/replica/planted.py", "import numpy", "Only the columns"),
    ("services/marketing/model/planted.py", "import services.marketing.store", "Within a service"),
    ("shared/kielto/service/outbox/planted.py", "import kielto.service.recovery", "Within the plumbing"),
    ("shared/kielto/service/http/planted.py", "import kielto.service.outbox", "Within the plumbing"),
    ("services/customers/api/planted.py", "import services.customers.store", "A service's API"),
    ("services/marketing/consumers.py", "import services.marketing.store", "A service's API"),
    ("services/consents/api/planted.py", "import services.consents.store", "A service's API"),
    ("services/consents/consumers/planted.py", "import services.consents.store", "A service's API"),
    ("services/customers/store/planted.py", "import kielto.subscriber", "A service's store"),
    ("services/consents/store/planted.py", "import kielto.subscriber", "A service's store"),
    ("services/consents/settings.py", "import services.consents.use_cases", "A service's settings"),
    ("services/customers/settings.py", "import kielto.group", "A service's settings"),
    ("services/marketing/settings.py", "import services.marketing.model", "A service's settings"),
]
"""File, line added to it, and beginning of the contract's name."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """By name of each broken contract: what breaks it. All breaches are planted in one copy of the repository."""
    root = tmp_path_factory.mktemp("planted")
    shutil.copy(ROOT / "pyproject.toml", root)
    for folder in ("deploy", "services", "shared"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file, line, _ in BREACHES:
        with (root / file).open("a") as planted:
            planted.write(f"{line}\n")
    done = run(*LINT_IMPORTS, root=root)
    assert done.returncode == 1, done.stdout + done.stderr
    _, _, report = done.stdout.partition("Broken contracts")
    _, *parts = re.split(r"^(\S.*)\n-+$", report, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize(("file", "line", "contract"), BREACHES)
def test_a_planted_breach_is_found(broken: dict[str, str], file: str, line: str, contract: str) -> None:
    module = file.removeprefix("shared/").removesuffix(".py").replace("/", ".")
    imported = line.removeprefix("import ")
    (found,) = [text for name, text in broken.items() if name.startswith(contract)]
    no_layer = f"not listed as layers:\n- {module}"
    assert f"{module} -> {imported}" in found or no_layer in found.replace("\n\n", "\n"), found


def test_every_contract_is_shown_by_a_breach() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    names = [contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]]
    assert [name for name in names if not any(name.startswith(shown) for _, _, shown in BREACHES)] == []
