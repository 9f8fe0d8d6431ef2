"""What is in the topics can be read by hand: kcat (https://github.com/edenhill/kcat) shows key, headers and value."""

import asyncio
import json
import secrets
import shutil
import subprocess

import pytest

from deploy.local.stack import Stack
from kielto import kafka
from kielto.events.base import Event
from kielto.events.control import Beat
from kielto.events.envelope import encode
from kielto.events.records import Permissions
from kielto.events.schemas import EXAMPLE_OF
from kielto.events.topics import Topic

KCAT = shutil.which("kcat")


@pytest.mark.skipif(KCAT is None, reason="kcat is not installed (Debian package kcat)")
@pytest.mark.parametrize("model", [Permissions, Beat], ids=lambda m: m.kind)
async def test_kcat_shows_a_message_readable(stack: Stack, model: type[Event]) -> None:
    topic, event = f"kcat{secrets.token_hex(4)}", EXAMPLE_OF[model]
    message = encode(event, key="a1" * 32, source="consents")
    await kafka.create_topics(stack.kafka.bootstrap, [Topic(topic, "consents", ("company.a",), (model,), {})])
    producer = kafka.producer(stack.kafka.bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(topic, message.value, key=message.key, headers=message.headers)
    finally:
        await producer.stop()

    command = [str(KCAT), "-C", "-e", "-q", "-b", stack.kafka.bootstrap, "-t", topic, "-f", "%k\n%h\n%s\n"]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=30, check=True
    )

    key, headers, value = done.stdout.splitlines()
    assert key == "a1" * 32
    assert headers.split(",") == [f"{name}={raw.decode()}" for name, raw in message.headers]
    assert model.model_validate(json.loads(value)) == event
