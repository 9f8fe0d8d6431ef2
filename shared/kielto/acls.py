"""Access control lists and quotas of each party and service on the brokers, derived from the group.

    python -m kielto.contract acls            one a line: principal, resource, name, pattern, operation (kafka-acls.sh)
    python -m kielto.contract acls strimzi    the same as KafkaUser manifests, with quotas

Topics are literal; consumer groups are prefixes that end with a dot, so that no party's prefix begins another's. Nobody
listed here may create topics or change the cluster; the set-up has a user of its own for that.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from kielto.events.topics import CONSENTS, Topic
from kielto.group import Group

SERVICES = ("customers", "consents", "marketing")
QUOTA = {"producerByteRate": 5 * 1024 * 1024, "consumerByteRate": 50 * 1024 * 1024, "requestPercentage": 20}
"""For each party: bytes per second, and percent of one broker thread."""


class Acl(NamedTuple):
    """One permission; `resource` and `operation` are Kafka's words."""

    principal: str
    resource: str
    name: str
    pattern: str
    operation: str


def acls(group: Group) -> Iterator[Acl]:
    for principal in (*SERVICES, *group.parties):
        yield from _of(group, principal)


def _of(group: Group, who: str) -> Iterator[Acl]:
    user, is_service = user_of(who), who in SERVICES
    for topic in group.topics():
        operations = []
        if topic.writer == who:
            operations += ["Write", "Describe"]
        if who in topic.readers or (is_service and _read_besides(topic, who)):
            operations += ["Read", "Describe"]
        if operations and is_service:
            operations.append("DescribeConfigs")  # it verifies its topics when it starts
        for operation in dict.fromkeys(operations):
            yield Acl(f"User:{user}", "Topic", topic.name, "Literal", operation)
    yield Acl(f"User:{user}", "Group", f"kielto.{who}." if is_service else f"{who}.", "Prefixed", "Read")


def _read_besides(topic: Topic, service: str) -> bool:
    """A service also reads its own topics, and the consents topic that makes it throttle bulk work during bans."""
    return topic.writer == service or topic.name == CONSENTS.express


def user_of(who: str) -> str:
    """The Kafka user of a service or a party."""
    return f"kielto-{who}" if who in SERVICES else str(who)  # YAML represents plain strings only


def lines(group: Group) -> str:
    return "".join("\t".join(acl) + "\n" for acl in acls(group))


def strimzi(group: Group) -> str:
    """KafkaUser manifests (kafka.strimzi.io/v1beta2), SCRAM-SHA-512; parties have quotas."""
    users = [_manifest(group, who) for who in (*SERVICES, *group.parties)]
    return str(yaml.safe_dump_all(users, sort_keys=False))


def _manifest(group: Group, who: str) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "authentication": {"type": "scram-sha-512"},
        "authorization": {"type": "simple", "acls": _rules(group, who)},
    }
    if who not in SERVICES:
        spec["quotas"] = dict(QUOTA)
    return {
        "apiVersion": "kafka.strimzi.io/v1beta2",
        "kind": "KafkaUser",
        "metadata": {"name": user_of(who), "labels": {"strimzi.io/cluster": "kielto"}},
        "spec": spec,
    }


def _rules(group: Group, who: str) -> list[dict[str, Any]]:
    operations: dict[tuple[str, str, str], list[str]] = {}
    for acl in _of(group, who):
        operations.setdefault((acl.resource, acl.name, acl.pattern), []).append(acl.operation)
    kinds = {"Literal": "literal", "Prefixed": "prefix"}  # Strimzi's words
    return [
        {
            "resource": {"type": resource.lower(), "name": name, "patternType": kinds[pattern]},
            "operations": allowed,
        }
        for (resource, name, pattern), allowed in operations.items()
    ]
