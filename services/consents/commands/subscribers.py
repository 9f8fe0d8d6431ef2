"""`python -m services.consents subscribers`: list the instances of each subscriber, or end one that is gone."""

from collections.abc import Sequence
from uuid import UUID

from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.instances import end_instance, list_instances

NAMES = ("subscribers list", "subscribers end")
_USAGE = "usage: subscribers list | subscribers end SUBSCRIBER INSTANCE"


async def command(context: Context, words: Sequence[str]) -> int:
    """The exit status: 0 done, 1 no such instance, 2 wrong usage."""
    match words:
        case ["list"]:
            for one in await list_instances(context):
                state = "live" if one.live else "gone"
                print(f"{one.subscriber}\t{one.instance}\t{state}\t{one.seen_at:%Y-%m-%dT%H:%M:%SZ}")
            return 0
        case ["end", subscriber, instance]:
            try:
                ident = UUID(instance)
            except ValueError:
                print(_USAGE)
                return 2
            found = await end_instance(context, subscriber, ident)
            print("ended" if found else "not found")
            return 0 if found else 1
    print(_USAGE)
    return 2
