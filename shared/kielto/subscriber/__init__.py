"""For systems outside: follow a party's permissions, ask before each send, take bans in, prove what was applied.

    async with Subscriber(subscriber=..., party=..., bootstrap=..., point_keys=..., store=MemoryStore()) as kielto:
        await kielto.ready()
        if kielto.may(Question(Purpose.OWN_MARKETING, Channel.EMAIL, address="aino@example.com")):
            ...  # send, now

`PostgresStore` needs asyncpg besides (`kielto[postgres]`), `kielto.subscriber.metrics` prometheus_client
(`kielto[metrics]`).
"""

from typing import TYPE_CHECKING, Any

from kielto.errors import KieltoError
from kielto.events.words import Act, Channel, Mode, Purpose, Reach
from kielto.subscriber.changes import Change
from kielto.subscriber.memory import MemoryStore
from kielto.subscriber.questions import Answer, Question, Reason
from kielto.subscriber.spool import SpoolInUseError
from kielto.subscriber.store import Store, StoreError
from kielto.subscriber.subscriber import Subscriber
from kielto.subscriber.trouble import NotReadyError

if TYPE_CHECKING:
    from kielto.subscriber.clear import Clearance, Cleared
    from kielto.subscriber.postgres import PostgresStore

__all__ = [
    "Act",
    "Answer",
    "Change",
    "Channel",
    "Clearance",
    "Cleared",
    "KieltoError",
    "MemoryStore",
    "Mode",
    "NotReadyError",
    "PostgresStore",
    "Purpose",
    "Question",
    "Reach",
    "Reason",
    "SpoolInUseError",
    "Store",
    "StoreError",
    "Subscriber",
]


def __getattr__(name: str) -> Any:
    if name == "PostgresStore":  # imported when asked for: it alone needs asyncpg
        from kielto.subscriber.postgres import PostgresStore

        return PostgresStore
    if name in ("Clearance", "Cleared"):  # they alone need httpx
        from kielto.subscriber import clear

        return getattr(clear, name)
    raise AttributeError(name)
