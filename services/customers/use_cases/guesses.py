"""Refused rows that name somebody by an identity code or business id: counted by company, and limited.

Nobody learns anything from such a row; a company that sends many of them either has wrong data or guesses.
"""

import time
from collections import defaultdict, deque

from kielto.errors import KieltoError
from kielto.service.support.limits import REFUSED_IDENTIFIERS_PER_HOUR
from services.customers.metrics import REFUSED_IDENTIFIERS

_HOUR = 3600.0


class TooManyRefusedError(KieltoError):
    """`retry_after`: seconds."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__("too many refused rows with identifiers")


class Guesses:
    """Counts refused identifiers in this process alone; several processes multiply the limit."""

    def __init__(self, most: int = REFUSED_IDENTIFIERS_PER_HOUR) -> None:
        self.most = most
        self._refused = defaultdict[str, deque[float]](deque)

    def check(self, source: str, *, by_identifier: bool) -> None:
        """Raises TooManyRefusedError."""
        if by_identifier and (wait := self.wait(source)):
            raise TooManyRefusedError(wait)

    def wait(self, source: str) -> int:
        """Seconds until another row may name an identifier; 0: now."""
        refused, now = self._refused[source], time.monotonic()
        while refused and now - refused[0] > _HOUR:
            refused.popleft()
        return int(_HOUR - (now - refused[0])) + 1 if len(refused) >= self.most else 0

    def refused(self, source: str) -> None:
        REFUSED_IDENTIFIERS.labels(source).inc()
        refused = self._refused[source]
        refused.append(time.monotonic())
        if len(refused) > self.most:
            refused.popleft()
