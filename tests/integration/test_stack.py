"""The two servers themselves: they start, keep what they were given, and can be stopped, killed and paused."""

from collections.abc import Callable

import asyncpg

from deploy.local.stack import Stack


async def test_a_database_has_a_role_of_its_own(database: Callable[[str], str]) -> None:
    ours, others = database("one"), database("two")
    connection = await asyncpg.connect(ours)
    assert (await connection.fetchval("SHOW server_version")).startswith("18.")
    await connection.execute("CREATE TABLE own (id int)")
    await connection.close()
    role = ours.split("//")[1].split("@")[0]
    foreign = f"postgresql://{role}@{others.split('@')[1]}"
    try:
        await asyncpg.connect(foreign)
    except asyncpg.InsufficientPrivilegeError:
        return
    raise AssertionError("a role could connect to another's database")
