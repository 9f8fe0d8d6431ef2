"""Follow your company's permissions, and ask before each send. Settings: KIELTO_KAFKA, KIELTO_POINT_KEY (hex)."""

import asyncio
import os
import sys
from pathlib import Path

from kielto.subscriber import Channel, MemoryStore, Purpose, Question, Subscriber


async def main(subscriber: str, party: str, addresses: list[str]) -> None:
    async with Subscriber(
        subscriber=subscriber,
        party=party,
        bootstrap=os.environ["KIELTO_KAFKA"],
        point_keys={1: bytes.fromhex(os.environ["KIELTO_POINT_KEY"])},
        store=MemoryStore(),
        spool=Path(f"{subscriber}.spool"),
    ) as kielto:
        await kielto.ready()
        for address in addresses:
            answer = kielto.may(Question(Purpose.OWN_MARKETING, Channel.EMAIL, address=address))
            print(address, "yes" if answer else f"no: {answer.reason}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
