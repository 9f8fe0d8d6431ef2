"""Both lanes bring records in any order and again: the newest is kept, and what is unreadable denies."""

from itertools import permutations as orders
from uuid import UUID

from kielto.events.records import AllowedPoint, CompanyPermissions, CustomerPermissions
from kielto.events.versions import Version
from kielto.events.words import Status
from kielto.service.database.pool import Pool, transaction
from kielto.service.support.crypto_keys import Keys
from services.marketing import projections
from tests.integration.marketing.world import (
    OWN_EMAIL,
    OWN_POST,
    allow,
    customer,
    know,
    permissions,
    person,
)


async def held(pool: Pool, who: UUID) -> tuple[int, int, str, set[str]]:
    """Version, status, and what is permitted."""
    row = await pool.fetchrow("SELECT * FROM people WHERE id = $1", who)
    assert row is not None
    cells = await pool.fetch("SELECT channel FROM cells WHERE customer = $1", who)
    return (
        row["permission_epoch"],
        row["permission_n"],
        row["permission_status"],
        {c["channel"] for c in cells},
    )


async def test_the_highest_version_wins_in_every_order(pool: Pool) -> None:
    for order in orders(range(4)):
        who = person()
        records = [
            permissions(who, 1, [OWN_EMAIL, OWN_POST]),
            permissions(who, 2, [OWN_EMAIL]),
            permissions(who, 9),
            permissions(who, 1, [OWN_POST], epoch=2),
        ]
        for index in order:
            await know(pool, records[index], records[index])
        assert await held(pool, who.id) == (2, 1, "live", {"post"}), order


async def test_one_batch_may_hold_several_versions(pool: Pool) -> None:
    who = person()
    await know(pool, permissions(who, 3), permissions(who, 1, [OWN_POST]), permissions(who, 2, [OWN_EMAIL]))
    assert await held(pool, who.id) == (1, 3, "live", set())


async def test_a_company_that_is_no_longer_named_is_denied(pool: Pool) -> None:
    who = person()
    await know(pool, permissions(who, 1, [OWN_POST]))
    await know(pool, permissions(who, 2, [OWN_POST], company="liittyma"))
    companies = await pool.fetch("SELECT company FROM cells WHERE customer = $1", who.id)
    assert [c["company"] for c in companies] == ["liittyma"]


async def test_unreadable_permissions_deny_until_that_version_or_a_higher_one_is_read(pool: Pool) -> None:
    who = person()
    await know(pool, permissions(who, 1, [OWN_POST]))
    async with transaction(pool) as conn:
        assert await projections.deny_permissions(conn, who.id, Version(1, 2)) == [who.id]
    assert await held(pool, who.id) == (1, 2, "unreadable", set())
    await know(pool, permissions(who, 1, [OWN_POST]))
    assert await held(pool, who.id) == (1, 2, "unreadable", set())
    await know(pool, permissions(who, 2, [OWN_EMAIL]))
    assert await held(pool, who.id) == (1, 2, "live", {"email"})


async def test_what_was_read_is_not_denied_by_the_same_version_unreadable_elsewhere(pool: Pool) -> None:
    who = person()
    await know(pool, permissions(who, 2, [OWN_POST]))
    async with transaction(pool) as conn:
        assert await projections.deny_permissions(conn, who.id, Version(1, 2)) == []
        assert await projections.deny_permissions(conn, who.id, Version(1, 1)) == []
    assert await held(pool, who.id) == (1, 2, "live", {"post"})


async def test_customers_records_keep_their_own_version(pool: Pool, keys: Keys) -> None:
    who = person()
    await know(pool, permissions(who, 7, [OWN_POST]))
    await know(pool, customer(keys, who, 2))
    await know(pool, customer(keys, who, 1, Status.ALIAS))
    row = await pool.fetchrow("SELECT customer_n, customer_status FROM people WHERE id = $1", who.id)
    assert row is not None
    assert tuple(row) == (2, "live")
    async with transaction(pool) as conn:
        assert await projections.deny_customer(conn, who.id, Version(1, 3)) == [who.id]
    await know(pool, customer(keys, who, 2))
    row = await pool.fetchrow("SELECT customer_status, points FROM people WHERE id = $1", who.id)
    assert row is not None
    assert tuple(row) == ("unreadable", "{}")
    await know(pool, customer(keys, who, 3))
    assert (await held(pool, who.id))[1:] == (7, "live", {"post"})


async def test_a_point_whose_id_is_none_of_ours_is_left_out(pool: Pool) -> None:
    who = person()
    points = tuple(
        AllowedPoint(point=point, channel="post", allow=(allow(OWN_POST),))
        for point in ("no id", str(who.post), str(who.email).upper())
    )
    companies = (CompanyPermissions(company="kauppa", points=points),)
    await know(pool, CustomerPermissions(version="1.1", subject=who.id, companies=companies))
    cells = await pool.fetch("SELECT point FROM cells WHERE customer = $1", who.id)
    assert [c["point"] for c in cells] == [who.post]
