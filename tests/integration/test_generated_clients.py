"""A client that openapi-python-client makes of what we publish works, and changes nothing that it was not told to."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deploy.local import token
from deploy.local.servers.stack import Stack
from deploy.local.services import Services
from kielto.acls import SERVICES
from tests.contracts.openapi import FOLDER

NOT_MADE = {"customers": ["POST /customers/imports"], "consents": [], "marketing": []}
"""JSON Lines are no media type of the generator."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ModuleType]]:
    """By a name below the package `made`: a module of a generated client."""
    folder = tmp_path_factory.mktemp("clients")
    package = folder / "made"
    package.mkdir()
    (package / "__init__.py").touch()
    config = folder / "config.yaml"
    config.write_text("post_hooks: []\n")  # they would format with tools of their own
    for name in SERVICES:
        document = FOLDER / f"openapi-{name}.json"
        command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
        command += ["--path", str(document), "--output-path", str(package / name), "--config", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        warned = [line for line in said.splitlines() if "WARNING" in line or "Unable" in line]
        assert [w.split()[2:4] for w in warned] == [place.split() for place in NOT_MADE[name]], said
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module(f"made.{name}")
    sys.path.remove(str(folder))
    for name in [n for n in sys.modules if n.partition(".")[0] == "made"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    folder = tmp_path_factory.mktemp("running")
    with Stack(folder / "stack") as stack, Services(stack, folder / "up", beat_seconds=0.5) as running:
        yield running


class GeneratedClient:
    """Calls by the names that the generator gives them."""

    def __init__(
        self, made: Callable[[str], ModuleType], services: Services, name: str, company: str | None
    ) -> None:
        self._made, self._name = made, name
        bearer = token.issue(token.ROLES, company=company)
        base = services.url(name).removesuffix(f"/{name}")
        self._client = made(f"{name}.client").AuthenticatedClient(base_url=base, token=bearer)

    def body(self, model: str, **fields: Any) -> Any:
        return getattr(self._made(f"{self._name}.models"), model).from_dict(fields)

    def call(self, place: str, status: int, **given: Any) -> Any:
        """`place`: tag and operation. The whole answer."""
        answer = self._made(f"{self._name}.api.{place}").sync_detailed(client=self._client, **given)
        assert answer.status_code == status, answer.content
        return answer


def test_a_scenario_of_ten_calls(made: Callable[[str], ModuleType], services: Services) -> None:
    register = GeneratedClient(made, services, "customers", "kauppa")
    person = {
        "recipient": "natural",
        "name": "Aino Esimerkki",
        "safety_ban": True,
        "points": [{"kind": "email", "value": "aino@example.com"}],
        "customerships": [{"company": "kauppa", "number": "G-1001"}],
    }
    given = register.body("GivenCustomer", **person)
    created = register.call("customers.create_customer", 201, body=given, idempotency_key="one")
    again = register.call("customers.create_customer", 201, body=given, idempotency_key="one")
    assert created.parsed.id == again.parsed.id
    ident = created.parsed.id

    read = register.call("customers.get_customer", 200, ident=ident)
    assert read.parsed.safety_ban is True
    change = register.body("CustomerPatch", name="Aino Uusi")
    etag = read.headers["etag"]
    changed = register.call("customers.change_customer", 200, ident=ident, body=change, if_match=etag)
    assert (changed.parsed.name, changed.parsed.safety_ban) == ("Aino Uusi", True), "the ban was cleared"
    stale = register.call("customers.change_customer", 412, ident=ident, body=change, if_match=etag)
    assert stale.parsed.type_ == "urn:kielto:problem:stale"
    found = register.call("customers.find_customer", 200, company="kauppa", number="G-1001")
    assert [item.id for item in found.parsed.items] == [ident]

    desk = GeneratedClient(made, services, "consents", "kauppa")
    no = desk.body(
        "GivenDecision", subject={"company": "kauppa", "number": "G-1001"}, act="ban", route="phone"
    )
    taken = desk.call("decisions.record_decision", 201, body=no, idempotency_key="two")
    decided = taken.headers["location"].rpartition("/")[2]
    decision = desk.call("decisions.get_decision", 200, ident=decided).parsed
    assert decision.act == "ban"
    assert desk.call("decisions.get_whereabouts", 200, ident=decided).parsed.subscribers is not None
    asked = desk.body(
        "GivenClearance",
        campaign="spring",
        purpose="own_marketing",
        channel="email",
        recipients=[{"number": "G-1001", "address": "aino@example.com"}],
    )
    [result] = desk.call("clearances.clear_recipients", 200, body=asked).parsed.results
    assert result.allowed is False
    assert desk.call("subscribers.list_subscribers", 200).parsed.subscribers

    campaigns = GeneratedClient(made, services, "marketing", "kauppa")
    draft = campaigns.body(
        "NewCampaign", name="Spring", purpose="own_marketing", channel="email", product_group="groceries"
    )
    campaign = campaigns.call("campaigns.create_campaign", 201, body=draft).parsed
    assert campaigns.call("campaigns.get_campaign", 200, ident=campaign.id).parsed.state == "open"
    foreign = GeneratedClient(made, services, "marketing", "sahko")
    assert foreign.call("campaigns.get_campaign", 404, ident=campaign.id).parsed.type_.endswith(
        "unknown-campaign"
    )


def test_the_generator_makes_every_operation(made: Callable[[str], ModuleType]) -> None:
    for name in SERVICES:
        root = Path(made(name).__file__ or "").parent / "api"
        calls = [path.stem for path in root.glob("*/*.py") if path.stem != "__init__"]
        document = json.loads((FOLDER / f"openapi-{name}.json").read_text("utf-8"))
        described = sum(len(operations) for operations in document["paths"].values())
        assert len(calls) == described - len(NOT_MADE[name]), name
