"""How fresh a service's own inputs are: a service withholds its beats when they are stale (contract,
Freshness).
"""

from collections.abc import Iterable


class InputFreshness:
    """Fed by the consumers with the heartbeats of other services' restrictions topics."""

    def fresh(self, topics: Iterable[str], seconds: float) -> bool:
        """Every partition of these restrictions topics is applied as of at most `seconds` ago, by our own
        clock.
        """
        raise NotImplementedError
