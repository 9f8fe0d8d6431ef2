"""A foreign client (librdkafka) that writes what ours never do: transactions, compressed batches, bombs."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Producer

Message = tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
"""Key, value, headers."""


async def write(
    bootstrap: str, topic: str, partition: int, messages: Sequence[Message], **settings: Any
) -> None:
    """Returns when the broker has them."""
    await asyncio.to_thread(_write, bootstrap, topic, partition, messages, settings)


def _write(
    bootstrap: str, topic: str, partition: int, messages: Sequence[Message], settings: dict[str, Any]
) -> None:
    producer = Producer({"bootstrap.servers": bootstrap, **settings})
    _produce(producer, topic, partition, messages)
    assert producer.flush(30) == 0


def _produce(producer: Producer, topic: str, partition: int, messages: Sequence[Message]) -> None:
    def told(error: Any, _: Any) -> None:
        assert error is None, error

    for key, value, headers in messages:
        producer.produce(topic, value, key, partition, told, headers=list(headers))


class Transaction:
    """`await Transaction.begin(…)`, then commit, abort, or leave it open."""

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer, self._topic = producer, topic

    @classmethod
    async def begin(cls, bootstrap: str, topic: str, **settings: Any) -> "Transaction":
        ident = f"crm-{secrets.token_hex(4)}"
        producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": ident, **settings})
        await asyncio.to_thread(producer.init_transactions, 20)
        producer.begin_transaction()
        return cls(producer, topic)

    def again(self) -> None:
        """The next one of the same producer."""
        self._producer.begin_transaction()

    async def write(self, partition: int, messages: Sequence[Message]) -> None:
        """Returns when the broker has them."""
        _produce(self._producer, self._topic, partition, messages)
        assert await asyncio.to_thread(self._producer.flush, 20) == 0

    async def commit(self) -> None:
        await asyncio.to_thread(self._producer.commit_transaction, 20)

    async def abort(self) -> None:
        await asyncio.to_thread(self._producer.abort_transaction, 20)


async def transact(
    bootstrap: str, topic: str, partition: int, messages: Sequence[Message], *, commit: bool = True
) -> None:
    """A whole transaction."""
    transaction = await Transaction.begin(bootstrap, topic)
    await transaction.write(partition, messages)
    await (transaction.commit() if commit else transaction.abort())
