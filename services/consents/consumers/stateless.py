"""What the handlers of several topics share."""

from datetime import UTC, datetime

from kielto.events.versions import Version
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta


class Stateless:
    """A topic without state denies nobody."""

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        """Nothing: the message is in quarantine, and that is all there is to it."""


def appended_at(meta: Meta) -> datetime:
    """When the broker appended the message."""
    return datetime.fromtimestamp(meta.timestamp_ms / 1000, UTC)
