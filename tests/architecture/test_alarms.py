"""The alarms of deploy/alarms.yaml name metrics that a service shows, with labels that these have, and a heading of the
runbook that says what to do.
"""

import re
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

import kielto.service.support.metrics
import services.consents.metrics
import services.customers.metrics
import services.marketing.metrics
from deploy.local.paths import ROOT
from kielto.events.topics import Lane

SHOWN = (  # importing them declares their metrics
    kielto.service.support.metrics,
    services.consents.metrics,
    services.customers.metrics,
    services.marketing.metrics,
)
SERVICES = sorted(main.parent.name for main in (ROOT / "services").glob("*/__main__.py"))
OF_THE_SCRAPE = {"service", "job", "instance"}
RULES = yaml.safe_load((ROOT / "deploy" / "alarms.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
HEADINGS = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)


def labels_of(metric: str) -> set[str] | None:
    """None when nobody shows it."""
    collector: Any = REGISTRY._names_to_collectors.get(metric)
    return None if collector is None else set(collector._labelnames)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alarm_can_ring_and_says_what_to_do(rule: dict[str, Any]) -> None:
    metrics = set(re.findall(r"\bkielto_\w+", rule["expr"]))
    assert metrics
    shown: set[str] = set(OF_THE_SCRAPE)
    for metric in metrics:
        labels = labels_of(metric)
        assert labels is not None, f"{metric}: no service shows it"
        shown |= labels
    asked = {name for by in re.findall(r"by \(([^)]*)\)", rule["expr"]) for name in by.split(", ")}
    assert asked | set(re.findall(r"(\w+)=", rule["expr"])) <= shown
    assert rule["annotations"]["runbook"] in HEADINGS
    assert rule["labels"]["severity"] in ("page", "ticket")


@pytest.mark.parametrize("lane", Lane)
@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_gone_rings(service: str, lane: Lane) -> None:
    """Every other alarm rests on series that are gone with its last process, and over none it is silent."""
    gone = f'absent(kielto_relay_leads{{service="{service}", lane="{lane.value}"}})'
    rules = [rule for rule in RULES if gone in re.split(r"\s+or\s+", rule["expr"])]
    assert [rule["labels"]["severity"] for rule in rules] == ["page"]


def test_a_metric_that_nobody_shows_is_found() -> None:
    assert labels_of("kielto_no_such_thing") is None
    assert labels_of("kielto_oldest_mark_seconds") == {"lane"}
