"""What the routers, handlers and tasks of marketing are given."""

import asyncio
from dataclasses import dataclass, field

from kielto.clock import Clock
from kielto.group import Group
from kielto.service.database.pool import Pool
from kielto.service.support.crypto_keys import Keys


@dataclass(frozen=True, slots=True)
class MarketingContext:
    """`wake` is set when a launch was requested, so that it begins at once."""

    pool: Pool
    keys: Keys
    group: Group
    clock: Clock
    wake: asyncio.Event = field(default_factory=asyncio.Event)
