"""For systems outside of Kielto: follow a party's permissions, ask before each message, submit decisions.

    async with Subscriber(subscriber=..., party=..., bootstrap=..., point_keys=..., store=MemoryStore()) as kielto:
        await kielto.ready()
        if kielto.may(Question(Purpose.OWN_MARKETING, Channel.EMAIL, address="aino@example.com")):
            ...  # send it now

`PostgresStore` needs asyncpg (`pip install kielto[postgres]`), `kielto.subscriber.metrics` needs
prometheus_client (`kielto[metrics]`). Every error is a `KieltoError`.
"""

from typing import TYPE_CHECKING, Any

from kielto.errors import KieltoError
from kielto.events.words import Act, Channel, Mode, Purpose, Reach
from kielto.subscriber.gate.questions import Answer, Question, Reason
from kielto.subscriber.stores.base import MemoryStore, Store, StoreError
from kielto.subscriber.submit.spool import SpoolInUseError
from kielto.subscriber.subscriber import Subscriber
from kielto.subscriber.support.brokers import NotReadyError
from kielto.subscriber.sync.changes import Change

if TYPE_CHECKING:
    from kielto.subscriber.clearance import Clearance, Cleared
    from kielto.subscriber.stores.postgres import PostgresStore

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
        from kielto.subscriber.stores.postgres import PostgresStore

        return PostgresStore
    if name in ("Clearance", "Cleared"):  # they alone need httpx
        from kielto.subscriber import clearance

        return getattr(clearance, name)
    raise AttributeError(name)
