"""A real producer whose answers are lost, or whose batches are refused, in some partitions, by a fixed
chance.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from kielto.service.outbox import batch_send
from kielto.service.outbox.batch_send import Delivered, OutboxMessage

Deliver = Callable[[Any, Sequence[OutboxMessage]], Awaitable[Delivered]]


def unreliable(chance: random.Random, sends: int) -> Deliver:
    """In place of `deliver` where a lane uses it; reliable again after so many sends that had any message."""
    left = [sends]

    async def deliver(producer: Any, messages: Sequence[OutboxMessage]) -> Delivered:
        if not messages or not left[0]:
            return await batch_send.deliver(producer, messages)
        left[0] -= 1
        fate = {p: chance.choice(("ok", "refused", "lost")) for p in range(6)}
        sent = [m for m in messages if fate[m.partition] != "refused"]
        answers = iter((await batch_send.deliver(producer, sent)).offsets)
        offsets = [next(answers) if fate[m.partition] != "refused" else None for m in messages]
        known = [o if fate[m.partition] == "ok" else None for m, o in zip(messages, offsets, strict=True)]
        return Delivered(known, TimeoutError() if None in known else None)

    return deliver
