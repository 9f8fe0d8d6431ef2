"""The state outbox: records and the marks that say which are to be published; plain rows for what is not
state.

Everything here runs in the caller's transaction. The relay (`relay.py`) publishes each marked record's
*current* state, so a key never has two versions waiting, and a newer ban cannot be overtaken by an older
permit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from kielto.events.base import Event
from kielto.events.records import Record
from kielto.events.versions import Version
from kielto.service.postgres import Conn

CHANNEL = "kielto_marks"
"""NOTIFY of express marks and of reports; bulk marks wait for the relay's next look (0.25 s)."""


@dataclass(frozen=True, slots=True)
class Change:
    """A record as it shall be from now on. `record.version` is ignored (write "0.0"): the outbox gives the
    version.

    `express`: something that was allowed is allowed no longer, or the restrictions grew. A family with one
    topic (`….customers`) always goes by bulk.
    """

    family: str
    key: str
    record: Record
    express: bool
    restrictions: tuple[UUID, ...] = ()
    decision: UUID | None = None


async def publish(conn: Conn, changes: Sequence[Change], *, traceparent: str | None = None) -> list[Version]:
    """Store what differs from the stored record, raise its version and mark it; the versions in the given
    order.

    Nothing happens to a record whose body (apart from `changed_at` and `decision`), status and restrictions
    are the same: its present version is returned. Rows are locked in the order (family, key), changed or not.
    One or two round trips. Raises TooLarge, `epoch.NotClaimed`, and ValueError when a record is named twice.
    """
    raise NotImplementedError


async def report(
    conn: Conn, topic: str, key: str, event: Event, *, source: str, traceparent: str | None = None
) -> None:
    """Queue one message of a retained topic, sent in order after the commit. Raises TooLarge."""
    raise NotImplementedError


async def report_many(
    conn: Conn,
    topic: str,
    events: Sequence[tuple[str, Event]],
    *,
    source: str,
    traceparent: str | None = None,
) -> None:
    """The same for many (key, event) in one round trip."""
    raise NotImplementedError
