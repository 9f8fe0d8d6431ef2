"""A party's topics with very many customers, as consents writes them after some years of bans and consents.

Deterministic: customer number i has the same ids, points and permissions in every run.
"""

import hashlib
import random
import re
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from kielto.events.envelope import headers
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.kafka import partition_of

WITHOUT = 0.05
"""Of the customers, those to whom nothing may be said."""
EXPRESS = 0.10
"""Those whose last restriction stands on the restrictions topic; of half of them it is the newest version."""
BATCH_BYTES = 128 * 1024


class BenchMessage(NamedTuple):
    lane: Lane
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def ident(number: int) -> bytes:
    """A customer's pairwise id, 32 bytes; the topics carry it as 64 hex digits."""
    return hashlib.sha256(b"customer %d" % number).digest()


def allowed(number: int) -> bool:
    """Whether own marketing by e-mail is allowed to the customer."""
    dice = random.Random(number)
    return '"channel":"email","allow":[{"purpose":"own_marketing"}' in _points(number, dice)


def messages(number: int) -> Iterator[BenchMessage]:
    """One customer's records as they stand in both topics after compaction: one of each lane at most."""
    dice = random.Random(number)
    points, n = _points(number, dice), min(int(dice.expovariate(0.3)) + 1, 60)
    place, key = dice.random(), ident(number).hex()
    older = re.sub(r'"allow":\[[^]]*\]', '"allow":[]', points)
    if place < EXPRESS / 2:
        yield _message(Lane.BULK, key, n, older, number, dice)
        yield _message(Lane.EXPRESS, key, n + 1, points, number, dice)
        return
    if place < EXPRESS:
        yield _message(Lane.EXPRESS, key, n, older, number, dice)
        n += 1
    yield _message(Lane.BULK, key, n, points, number, dice)


def _message(lane: Lane, key: str, n: int, points: str, number: int, dice: random.Random) -> BenchMessage:
    day = f"{dice.randint(1, 12):02}-{dice.randint(1, 28):02}"
    time = f"2026-{day}T{dice.randint(0, 23):02}:15:36.{dice.randint(100_000, 999_999)}Z"
    value = (
        f'{{"version":"1.{n}","changed_at":"{time}","subject":"{key}","recipient":"natural",'
        f'"numbers":["{_hash(number, "number")}"],{points}}}'
    )
    trace = f"00-{dice.getrandbits(128):032x}-{dice.getrandbits(64):016x}-01"
    told = headers(Permissions.type_name(), key=key, source="consents", version=f"1.{n}", traceparent=trace)
    return BenchMessage(lane, key.encode(), value.encode(), told)


def _hash(number: int, kind: str) -> str:
    return hashlib.sha256(b"%s %d" % (kind.encode(), number)).hexdigest()


def _points(number: int, dice: random.Random) -> str:
    """One to three contact points; on each channel what is allowed, most people alike."""
    kinds = dice.choices(
        (("email",), ("phone",), ("email", "phone"), ("email", "phone", "post")), (25, 15, 35, 25)
    )[0]
    banned, listed = dice.random() < WITHOUT, []
    for kind in kinds:
        for channel in {"email": ("email",), "phone": ("sms", "phone"), "post": ("post",)}[kind]:
            allow = ['{"purpose":"own_marketing"}'] if dice.random() < 0.85 and not banned else []
            if not banned and (channel == "post" or dice.random() < 0.15):
                allow.append('{"purpose":"partner_marketing","partner":"matkat","mode":"we_send"}')
            if not banned and channel in ("phone", "post") and dice.random() < 0.9:
                allow.append('{"purpose":"research"}')
            listed.append(
                f'{{"point":"{_hash(number, kind)}","channel":"{channel}","allow":[{",".join(allow)}]}}'
            )
    return f'"points":[{",".join(listed)}]'


async def write(producer: Any, family: Family, count: int) -> int:
    """All customers' records, in whole batches; returns how many records there are."""
    batches: dict[tuple[str, int], Any] = {}
    waiting: list[Any] = []
    written = 0

    async def send(topic: str, partition: int) -> None:
        waiting.append(await producer.send_batch(batches.pop((topic, partition)), topic, partition=partition))

    for number in range(count):
        for message in messages(number):
            written += 1
            place = family.topic(message.lane), partition_of(message.key, PARTITIONS)
            batch = batches.get(place) or batches.setdefault(place, producer.create_batch())
            told: dict[str, Any] = {"key": message.key, "value": message.value, "headers": message.headers}
            if batch.append(timestamp=None, **told) is None:
                await send(*place)
                batches[place] = producer.create_batch()
                batches[place].append(timestamp=None, **told)
        if number % 100_000 == 99_999:
            print(f"{number + 1:,} customers written", file=sys.stderr, flush=True)
            for answer in waiting:
                await answer
            waiting.clear()
    for topic, partition in list(batches):
        await send(topic, partition)
    for answer in waiting:
        await answer
    return written
