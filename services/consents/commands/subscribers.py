"""`python -m services.consents subscribers`: the instances of each subscriber, and the end of one that is gone."""

from collections.abc import Sequence
from uuid import UUID

from kielto.service.database.pool import Pool, transaction
from services.consents.store.propagation import acks, proof
from services.consents.use_cases.context import Context

_USAGE = "usage: subscribers list | subscribers end SUBSCRIBER INSTANCE"


async def command(pool: Pool, context: Context, words: Sequence[str]) -> int:
    """The exit status: 0 done, 1 could not be done, 2 wrong usage."""
    match words:
        case ["list"]:
            async with pool.acquire() as conn:
                for one in await proof.instances(conn, context.group.subscribers):
                    state = "live" if one.live else "gone"
                    print(f"{one.subscriber}\t{one.instance}\t{state}\t{one.seen_at:%Y-%m-%dT%H:%M:%SZ}")
            return 0
        case ["end", subscriber, instance]:
            try:
                ident = UUID(instance)
            except ValueError:
                print(_USAGE)
                return 2
            async with transaction(pool) as conn:
                found = await acks.end(conn, subscriber, ident)
            print("ended" if found else "not found")
            return 0 if found else 1
    print(_USAGE)
    return 2
