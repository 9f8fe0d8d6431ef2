"""The brokers of a subscriber: clients, retries with throttled warnings, and why it is not ready, in plain words."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from kielto import kafka
from kielto.clock import clock
from kielto.errors import KieltoError

log = logging.getLogger(__name__)
RETRY_SECONDS = (0.1, 1.0)
"""The first pause between two attempts, which doubles, and the longest one."""
BROKER = (
    "bootstrap: no broker answers. Check that the address is right and reachable from here, that Kafka runs, and that "
    "the TLS and SASL settings of `security` match the listener"
)
MISSING = (
    "party: its topics are missing, or this Kafka user may not see them. Check that the party is in group.yaml, that "
    "the group's set-up has run since it was added, and that the user may describe and read the topics `<party>.*`"
)
FORBIDDEN = (
    "security: Kafka refuses this user: it needs to describe and read `<party>.restrictions.v1` and "
    "`<party>.permissions.v1`, and to describe and write `<party>.acks.v1` and `<party>.decisions.v1`"
)
LOGIN = "security: Kafka refuses the user name, password or certificate"


class NotReadyError(KieltoError):
    """The gate did not open in time, or cannot open with these settings. The message names the cause."""


class Brokers:
    """Makes clients, and keeps the last problem of each background loop until the loop works again."""

    def __init__(self, bootstrap: str, security: kafka.Security = kafka.CLEAR) -> None:
        self._bootstrap, self._security = bootstrap, security
        self._texts: dict[str, str] = {}

    def producer(self) -> AbstractAsyncContextManager[Any]:
        return kafka.started(kafka.producer(self._bootstrap, security=self._security), kafka.abort)

    def consumer(self, **settings: Any) -> AbstractAsyncContextManager[Any]:
        return kafka.started(kafka.consumer(self._bootstrap, security=self._security, **settings))

    async def retry(
        self,
        loop: str | None,
        work: Callable[[], Awaitable[None]],
        failed: str,
        faults: tuple[type[Exception], ...] = (Exception,),
    ) -> None:
        """Do `work` again for ever. If it raises one of `faults`, log `failed` and note it as the problem of `loop`."""
        pause, warnings = RETRY_SECONDS[0], ThrottledLog(log)
        while True:
            began = clock()
            try:
                await work()
            except faults as error:
                if loop is not None:
                    self.note(loop, _cause(error))
                warnings.warn("%s; trying again: %s", failed, type(error).__name__)
            if clock() - began > RETRY_SECONDS[1]:  # it worked meanwhile
                pause = RETRY_SECONDS[0]
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])

    def note(self, loop: str, text: str) -> None:
        self._texts[loop] = text

    async def may_write(self, loop: str, producer: Any, topic: str) -> None:
        """Note whether the Kafka user may write the topic, before there is anything to write."""
        if topic in await kafka.topic_ids(producer, [topic]) and topic not in await kafka.writable(
            producer, [topic]
        ):
            self.note(loop, FORBIDDEN)
        else:
            self.works(loop)

    def works(self, loop: str) -> None:
        self._texts.pop(loop, None)

    def problem(self) -> str | None:
        return next(iter(self._texts.values()), None)


def _cause(error: BaseException) -> str:
    if isinstance(error, kafka.FORBIDDEN):
        return FORBIDDEN
    if isinstance(error, kafka.LOGIN):
        return LOGIN
    if isinstance(error, kafka.DOWN):
        return BROKER
    return f"Kafka: {type(error).__name__}"


_SECONDS_APART = 10.0


class ThrottledLog:
    """Logs a warning at most every ten seconds."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._at = -_SECONDS_APART

    def warn(self, text: str, *values: object) -> None:
        if clock() - self._at > _SECONDS_APART:
            self._at = clock()
            self._log.warning(text, *values)
