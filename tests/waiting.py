"""Waiting for what other processes and tasks do."""

import asyncio
import inspect
from collections.abc import Callable
from typing import Any


async def until(what: Callable[[], Any], otherwise: str = "", seconds: float = 60.0) -> Any:
    """The first true answer of `what`, which may be a coroutine function. Fails with `otherwise` after `seconds`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        answer = what()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert loop.time() < end, otherwise or f"not true within {seconds} s"
        await asyncio.sleep(0.02)
