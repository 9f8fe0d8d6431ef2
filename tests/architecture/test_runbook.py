"""Every command that the runbook names exists."""

import ast
import importlib.util
import pkgutil
import re
from types import ModuleType

import pytest

from deploy.local.__main__ import COMMANDS
from deploy.local.paths import ROOT
from kielto.acls import SERVICES
from kielto.service.auditor import commands as audit_report
from kielto.service.process import commands
from services.consents import commands as consents_commands
from tests.architecture.structure import SourceTree
from tests.contracts.openapi import build

TEXT = " ".join((ROOT / "docs/runbook.md").read_text("utf-8").split())
RUNS = [tuple(found) for found in re.findall(r"\./kielto run ([a-z|<>]+) ([a-z]+)(?: ([a-z]+))?", TEXT)]


def words(service: str) -> set[str]:
    """The first words of the commands that the service has."""
    platform, built = build(service)
    plumbing = {part.split()[0] for part in commands.USAGE.removeprefix("usage: ").split(" | ")}
    audit = audit_report.commands(platform.settings, platform.pool, built.families)
    return plumbing | {name.split()[0] for name in built.commands} | set(audit)


def test_the_runbook_names_commands() -> None:
    assert len(RUNS) > 8


@pytest.mark.parametrize(("services", "command", "_"), RUNS, ids=[" ".join(run) for run in RUNS])
def test_a_services_command_exists(services: str, command: str, _: str) -> None:
    for service in SERVICES if services in ("<name>", "SERVICE") else services.split("|"):
        assert command in words(service), f"{service} has no command {command}"


VERBS = [
    module
    for found in pkgutil.iter_modules(consents_commands.__path__, f"{consents_commands.__name__}.")
    if hasattr(module := importlib.import_module(found.name), "NAMES")
]


@pytest.mark.parametrize("module", VERBS)
def test_every_verb_of_a_usage_is_registered(module: ModuleType) -> None:
    """The audit trail records a command by the name that is registered."""
    usage = module._USAGE.removeprefix("usage: ").split(" | ")
    assert {" ".join(one.split()[:2]) for one in usage} == set(module.NAMES)
    assert set(module.NAMES) <= set(build("consents")[1].commands)


@pytest.mark.parametrize("service", SERVICES)
def test_the_runbook_names_every_command(service: str) -> None:
    assert [name for name in build(service)[1].commands if name not in TEXT] == []


@pytest.mark.parametrize("name", sorted(set(re.findall(r"\./kielto ([a-z]+)", TEXT))))
def test_a_command_of_ours_exists(name: str) -> None:
    assert name in COMMANDS


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m (kielto[a-z_.]*)", TEXT))))
def test_a_module_exists(module: str) -> None:
    assert importlib.util.find_spec(module.rstrip(".")) is not None


NAMED = {*re.findall(r"\bkielto_[a-z_]+[a-z]", TEXT), *re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", TEXT)}


def test_a_metric_and_a_log_event_exist(tree: SourceTree) -> None:
    texts = {
        node.value
        for _, parsed in tree.product()
        for node in ast.walk(parsed)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert len(NAMED) > 40
    assert not [name for name in NAMED if name not in texts and name.removesuffix("_total") not in texts]


def test_what_does_not_exist_would_be_found() -> None:
    assert "audit" not in words("marketing")
    assert "size" not in words("consents")
