"""Creates missing topics, and verifies the settings of all against the group."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from kielto.errors import KieltoError
from kielto.events.topics import Topic
from kielto.kafka.clients import started
from kielto.kafka.security import CLEAR, Security


class TopicMismatchError(KieltoError):
    """A topic differs from the group. The message names the topic, the setting and both values."""


class TopicsMissingError(TopicMismatchError):
    """Topics are missing: the set-up was not run yet, or not for this group file."""


async def create_topics(
    bootstrap: str, topics: Sequence[Topic], replicas: int = 1, *, security: Security = CLEAR
) -> list[str]:
    """Create the missing topics and wait until the broker shows them; return their names.

    Raises TopicMismatchError when the broker refuses one, or one of DOWN.
    """
    async with _admin(bootstrap, security) as admin:
        existing = set(await admin.list_topics())
        missing = [t for t in topics if t.name not in existing]
        if not missing:
            return []
        response = await admin.create_topics(
            [NewTopic(t.name, t.partitions, replicas, topic_configs=t.config) for t in missing]
        )
        codes = {name: code for name, code, *_ in response.topic_errors}
        for name, code in codes.items():
            if code not in (0, _TOPIC_ALREADY_EXISTS):
                raise TopicMismatchError(f"{name}: the broker refused to create it (error code {code})")
        async with asyncio.timeout(_SHOWN_SECONDS):
            while not codes.keys() <= set(await admin.list_topics()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return [name for name, code in codes.items() if code == 0]


async def verify_topics(bootstrap: str, topics: Sequence[Topic], *, security: Security = CLEAR) -> None:
    """Compare partitions and settings with the group.

    Raises TopicMismatchError with every difference, TopicsMissingError when topics are only missing, or one of DOWN.
    """
    async with _admin(bootstrap, security) as admin:
        found = {
            t["topic"]: len(t["partitions"])
            for t in await admin.describe_topics([t.name for t in topics])
            if t["error_code"] == 0
        }
        missing = [f"{t.name}: missing, run the set-up" for t in topics if t.name not in found]
        wrong = [
            f"{t.name}: has {found[t.name]} partitions, must have {t.partitions}"
            for t in topics
            if found.get(t.name, t.partitions) != t.partitions
        ]
        present = [t for t in topics if t.name in found]
        settings = await _settings(admin, [t.name for t in present])
        wrong += [
            f"{t.name}: {k} is {settings[t.name].get(k)}, must be {v}"
            for t in present
            for k, v in t.config.items()
            if settings[t.name].get(k) != v
        ]
        if wrong:
            raise TopicMismatchError("; ".join([*missing, *wrong]))
        if missing:
            raise TopicsMissingError("; ".join(missing))


async def _settings(admin: Any, names: Sequence[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    result: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources) if resources else []:
        for resource in response.resources:
            result[resource[3]] = {entry[0]: entry[1] for entry in resource[4]}
    return result


def _admin(bootstrap: str, security: Security) -> AbstractAsyncContextManager[Any]:
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=10_000, **security.arguments()
    )
    return started(admin, AIOKafkaAdminClient.close)


_TOPIC_ALREADY_EXISTS = 36
_SHOWN_SECONDS = 10  # the controller has answered before every broker knows
