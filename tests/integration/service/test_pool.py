"""Connections of the pool, as they are given back."""

from tests.integration.service.support import Bench


async def test_a_connection_is_given_back_without_a_query_and_without_an_open_transaction(
    service: Bench,
) -> None:
    """asyncpg's reset query costs a round trip; a transaction left open is rolled back all the same."""
    said: list[str] = []
    async with service.pool.acquire() as conn:
        pid = await conn.fetchval("SELECT pg_backend_pid()")
        conn.add_query_logger(lambda record: said.append(record.query))
    assert said == []
    async with service.pool.acquire() as conn:
        assert await conn.fetchval("SELECT pg_backend_pid()") == pid
        await conn.transaction().start()
        await conn.execute("CREATE TABLE left_open ()")
    async with service.pool.acquire() as conn:
        assert await conn.fetchval("SELECT to_regclass('left_open') IS NULL")
        assert not conn.is_in_transaction()
