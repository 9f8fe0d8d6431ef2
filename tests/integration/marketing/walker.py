"""A process that does nothing but carry launches on, to be killed: `walker.py DSN KEYS CHUNK`."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from kielto.service.database.pool import open_pool
from kielto.service.support.crypto_keys import Keys
from services.marketing.use_cases.build_audience import address_next


async def main(dsn: str, keys: Keys, chunk: int) -> None:
    pool = await open_pool(dsn, name="walker", size=1)
    while await address_next(pool, keys, datetime.now(UTC), chunk):
        pass
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Keys.load(Path(sys.argv[2])), int(sys.argv[3])))
