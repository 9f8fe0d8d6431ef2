"""The commands of a service's process: its quarantine."""

from collections.abc import Sequence

from kielto.group import Group
from kielto.service import quarantine
from kielto.service.composition import Service
from kielto.service.inbox import Permanent
from kielto.service.postgres import Pool

USAGE = "usage: migrate | quarantine list | quarantine replay ID | quarantine discard ID"


async def run(arguments: Sequence[str], pool: Pool, group: Group, service: Service) -> int:
    """The exit status: 0 done, 1 could not be done, 2 wrong usage."""
    match arguments:
        case ["quarantine", "list"]:
            for kept in await quarantine.listed(pool):
                place = f"{kept.topic}/{kept.partition}@{kept.offset}"
                print(f"{kept.id}\t{kept.at:%Y-%m-%dT%H:%M:%SZ}\t{place}\t{kept.reason}")
            return 0
        case ["quarantine", "replay", ident] if ident.isdigit():
            topics = {topic.name: topic for topic in group.topics()}
            try:
                await quarantine.replay(pool, int(ident), topics, service.subscriptions)
            except (LookupError, Permanent) as error:
                print(f"not replayed: {error}")
                return 1
            print("replayed")
            return 0
        case ["quarantine", "discard", ident] if ident.isdigit():
            found = await quarantine.discard(pool, int(ident))
            print("discarded" if found else "not found")
            return 0 if found else 1
        case [name, *rest] if name in service.commands:
            return await service.commands[name](rest)
    print(" | ".join([USAGE, *service.commands]))
    return 2
