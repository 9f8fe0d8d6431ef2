"""Records that may be the same person's: a no of one binds the others, and nobody but our own services learns of it."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from kielto.service.database.pool import transaction
from services.customers.commands import list_candidates
from services.customers.model import linking as rules
from services.customers.model.linking import MOST_HOLDERS
from services.customers.model.problems import CustomerRefusedError
from services.customers.use_cases.candidates import candidates, contradictions, mark_apart
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.erase import erase
from services.customers.use_cases.merge import merge
from services.customers.use_cases.read import NoSuchCustomerError
from services.customers.use_cases.register import register
from tests.integration.customers.conftest import CustomersRegister
from tests.integration.customers.test_register import ADDRESS, CODE, ident

EMAIL: dict[str, Any] = {"kind": "email", "value": "eva@example.com"}
PHONE: dict[str, Any] = {"kind": "phone", "value": "040 555 0002"}
POST: dict[str, Any] = {"kind": "post", "address": ADDRESS}


def person(company: str, number: str = "11", **fields: Any) -> dict[str, Any]:
    return {"customerships": [{"company": company, "number": number}], **fields}


async def bound(people: CustomersRegister, customer: UUID) -> list[str]:
    return (await people.record(customer)).get("bound_by", [])  # type: ignore[no-any-return]


async def put(people: CustomersRegister, company: str, number: str = "11", **fields: Any) -> UUID:
    (outcome,) = await people.put(people.entry(company, **person(company, number, **fields)))
    return ident(outcome)


SAME: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"points": [EMAIL]}, {"points": [EMAIL]}),
    ({"name": "Eva Ek", "points": [PHONE]}, {"name": "EK, Éva", "points": [PHONE]}),
    ({"name": "Eva Ek", "points": [PHONE]}, {"points": [PHONE]}),
    (
        {"birth_date": "1980-05-17", "points": [EMAIL, PHONE]},
        {"birth_date": "1980-05-17", "points": [PHONE]},
    ),
    ({"identity_code": CODE, "name": "Eva Ek"}, {"identity_code": CODE, "name": "Eva Berg"}),
]
APART: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": "Eva Ek", "points": [PHONE]}, {"name": "Adam Ek", "points": [PHONE]}),
    (
        {"birth_date": "1980-05-17", "points": [EMAIL]},
        {"birth_date": "1981-05-17", "points": [EMAIL]},
    ),
    (
        {"identity_code": CODE, "points": [EMAIL]},
        {"identity_code": "170580-308K", "points": [EMAIL]},
    ),
    ({"name": "Eva Ek", "points": [POST]}, {"name": "Eva Ek", "points": [POST]}),
    ({"recipient": "legal", "points": [PHONE]}, {"name": "Eva Ek", "points": [PHONE]}),
]


@pytest.mark.parametrize(("one", "other"), SAME)
async def test_who_may_be_one_is_bound(
    context: CustomersContext, people: CustomersRegister, one: dict[str, Any], other: dict[str, Any]
) -> None:
    first = await put(people, "kauppa", **one)
    before = await people.published("company.kauppa.customers")
    await people.lanes()
    second = await put(people, "sahko", **other)
    assert await bound(people, second) == [str(first)]
    assert await bound(people, first) == [str(second)]
    assert sorted(await people.lanes()) == [
        ("company.sahko.customers", "bulk"), ("customers", "bulk"), ("customers", "express"),
    ], "a new record is never published without whom it is bound by; the other one learns of it at once"  # fmt: skip
    assert await people.published("company.kauppa.customers") == before, "kauppa learns nothing"
    assert [{c.one, c.other} for c in await candidates(context)] == [{first, second}]


@pytest.mark.parametrize(("one", "other"), APART)
async def test_who_contradicts_is_not(
    people: CustomersRegister, one: dict[str, Any], other: dict[str, Any]
) -> None:
    first, second = await put(people, "kauppa", **one), await put(people, "sahko", **other)
    assert await bound(people, first) == await bound(people, second) == []


async def test_a_link_comes_and_goes_with_what_it_rests_on(people: CustomersRegister) -> None:
    """Among records of one company: what it says of them is its own to correct."""
    first = await put(people, "sahko", name="Eva Ek", points=[PHONE])
    second = await put(people, "sahko", "12", name="Adam Ek", points=[PHONE])
    await people.lanes()
    await people.put(people.entry("sahko", target=second, name="Eva Ek"))
    assert await bound(people, first) == [str(second)]
    assert ("customers", "express") in await people.lanes()
    await people.put(people.entry("sahko", target=second, points=[EMAIL]))
    assert await bound(people, first) == await bound(people, second) == []


@pytest.mark.parametrize(
    "change",
    [
        {"points": []},
        {"name": "Somebody Else"},
        {"birth_date": "1901-02-03"},
        {"recipient": "legal"},
        {"identity_code": "170580-308K", "points": []},
    ],
    ids=str,
)
async def test_no_company_ends_what_binds_another_ones_record(
    context: CustomersContext, people: CustomersRegister, change: dict[str, Any]
) -> None:
    """Else the no of kauppa's customer, said for all, would bind sahko's record no more by a word of kauppa's."""
    theirs = await put(people, "sahko", name="Eva Ek", birth_date="1980-05-17", points=[PHONE])
    own = await put(people, "kauppa", points=[PHONE])
    await people.put(people.entry("kauppa", target=own, **change))
    assert (await bound(people, theirs), await bound(people, own)) == ([str(own)], [str(theirs)])
    await people.put(people.entry("sahko", target=theirs, language="fi"))
    assert await bound(people, theirs) == [str(own)]
    await mark_apart(context, own, theirs, "asked", "someone")
    assert await bound(people, theirs) == []


async def test_another_record_is_bound_whatever_one_company_says_of_a_shared_one(
    context: CustomersContext, people: CustomersRegister
) -> None:
    """Of a customer of two companies what one calls them says nothing for the other."""
    shared = await put(people, "sahko", points=[PHONE])
    merged = await put(people, "kauppa", points=[EMAIL])
    await merge(context, merged, shared)
    third = await put(people, "sahko", "12", name="Eva Ek", points=[PHONE])
    assert await bound(people, shared) == [str(third)]
    await people.put(people.entry("kauppa", target=shared, name="Somebody Else"))
    assert await bound(people, shared) == [str(third)]


async def test_there_is_a_bound_to_links_that_stay(
    people: CustomersRegister, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_KEPT", 0)
    theirs, own = await put(people, "sahko", points=[PHONE]), await put(people, "kauppa", points=[PHONE])
    await people.put(people.entry("kauppa", target=own, points=[]))
    assert await bound(people, theirs) == []


async def test_rows_of_one_batch_are_linked_among_themselves(people: CustomersRegister) -> None:
    rows = [
        people.entry("kauppa", **person("kauppa", f"1{i}", name="Eva Ek", points=[EMAIL])) for i in range(3)
    ]
    ids = [str(ident(o)) for o in await people.put(*rows)]
    for one in ids:
        assert await bound(people, UUID(one)) == sorted({*ids} - {one})


async def test_two_who_come_at_once_are_linked(people: CustomersRegister) -> None:
    """In separate transactions, neither of which sees the other's rows."""
    for turn in range(5):
        points = [{"kind": "phone", "value": f"04055500{turn:02}"}]
        first, second = await asyncio.gather(
            put(people, "kauppa", f"1{turn}", points=points), put(people, "sahko", f"1{turn}", points=points)
        )
        assert (await bound(people, first), await bound(people, second)) == ([str(second)], [str(first)])


async def test_a_point_of_very_many_links_nobody_anew(people: CustomersRegister) -> None:
    """A switchboard of kauppa's: of others it says nothing. A link that stands is not ended by adding holders."""
    first, second = await put(people, "kauppa", points=[PHONE]), await put(people, "sahko", points=[PHONE])
    rows = [
        people.entry("kauppa", **person("kauppa", f"N{i}", name=f"Other {i}", points=[PHONE]))
        for i in range(MOST_HOLDERS)
    ]
    await people.put(*rows)
    assert str(second) in await bound(people, first)
    (late,) = await people.put(people.entry("kauppa", **person("kauppa", "12", name="Late", points=[PHONE])))
    assert await bound(people, ident(late)) == []
    (other,) = await people.put(people.entry("sahko", **person("sahko", "12", name="Late", points=[PHONE])))
    assert await bound(people, ident(other)) == [str(second)], (
        "whose name nobody knows, and not kauppa's many"
    )
    await people.put(people.entry("kauppa", target=first, language="fi"))
    assert str(second) in await bound(people, first)


async def test_different_people_are_not_bound_once_the_group_says_so(
    context: CustomersContext, people: CustomersRegister, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = await put(people, "kauppa", points=[PHONE]), await put(people, "sahko", points=[PHONE])
    assert await list_candidates(context, ["list"]) == 0
    assert f"{min(first, second)} {max(first, second)} contact_point bound" in capsys.readouterr().out
    for _ in range(2):
        await mark_apart(context, first, second, "father and son", "someone")
    assert await bound(people, first) == await bound(people, second) == []
    assert await candidates(context) == []
    await people.put(people.entry("kauppa", target=first, points=[PHONE, EMAIL]))
    await people.put(people.entry("sahko", target=second, points=[PHONE, EMAIL]))
    assert await bound(people, first) == []
    with pytest.raises(NoSuchCustomerError):
        await mark_apart(context, first, uuid4(), "x", "someone")
    with pytest.raises(CustomerRefusedError):
        await mark_apart(context, first, first, "x", "someone")
    assert await list_candidates(context, []) == 2


CHANGES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"name": "Adam Ek"}, {"name": "Eva Ek"}),
    ({"birth_date": "1981-05-17"}, {"birth_date": "1980-05-17"}),
    ({"recipient": "legal", "name": "Ek Ab"}, {"recipient": "natural", "name": "Eva Ek"}),
]


@pytest.mark.parametrize(("before", "now"), CHANGES)
async def test_a_newcomer_meets_a_change_that_makes_the_two_one(
    context: CustomersContext, people: CustomersRegister, before: dict[str, Any], now: dict[str, Any]
) -> None:
    """The change names no contact point, so it begins before the newcomer is there, and waits for its transaction."""
    known = await put(people, "kauppa", **before, points=[PHONE])
    newcomer = people.entry(
        "sahko", **person("sahko", "11", name="Eva Ek", birth_date="1980-05-17", points=[PHONE])
    )
    async with transaction(context.pool) as conn:
        (outcome,) = await register(conn, context, [newcomer])
        changing = asyncio.create_task(people.put(people.entry("kauppa", target=known, **now)))
        await asyncio.sleep(0.3)
        assert not changing.done()
    (changed,) = await changing
    assert changed.status == "changed", changed
    assert await bound(people, known) == [str(ident(outcome))]
    assert await bound(people, ident(outcome)) == [str(known)]


async def test_a_merge_looks_for_the_survivor_anew(
    context: CustomersContext, people: CustomersRegister
) -> None:
    """The duplicate's phone under the survivor's name: whoever has both may be the same person."""
    third = await put(people, "sahko", name="Eva Ek", points=[PHONE])
    duplicate = await put(people, "kauppa", "12", name="Ek, Evy", points=[PHONE])
    survivor = await put(people, "kauppa", name="Eva Ek")
    assert await bound(people, third) == []
    await people.lanes()
    await merge(context, duplicate, survivor)
    assert await bound(people, survivor) == [str(third)]
    assert await bound(people, third) == [str(survivor)]
    assert ("customers", "bulk") not in await people.lanes(), "a link restricts"


async def test_a_merge_takes_the_links_along(context: CustomersContext, people: CustomersRegister) -> None:
    first, second = await put(people, "kauppa", points=[PHONE]), await put(people, "sahko", points=[PHONE])
    third = await put(people, "sahko", "12", name="C")
    await merge(context, second, third)
    assert await bound(people, first) == [str(third)]
    assert await bound(people, third) == [str(first)]
    await merge(context, first, third)
    assert await bound(people, third) == []


async def test_the_no_of_an_erased_one_binds_on(context: CustomersContext, people: CustomersRegister) -> None:
    first, second = await put(people, "kauppa", points=[PHONE]), await put(people, "sahko", points=[PHONE])
    await erase(context, first)
    await people.put(people.entry("sahko", target=second, language="fi", points=[EMAIL]))
    assert await bound(people, second) == [str(first)]
    await erase(context, second)
    for table in ("links", "link_keys", "apart", "contradictions"):
        assert await context.pool.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_switched_off_nobody_is_bound(context: CustomersContext, keys: Any) -> None:
    from dataclasses import replace

    people = CustomersRegister(replace(context, link_duplicates=False))
    first, second = await put(people, "kauppa", points=[PHONE]), await put(people, "sahko", points=[PHONE])
    assert await bound(people, first) == await bound(people, second) == []


async def test_a_persons_no_binds_their_roles_also_later_ones(people: CustomersRegister) -> None:
    eva = await put(people, "kauppa", name="Eva Ek", points=[PHONE])
    firm: dict[str, Any] = {"recipient": "legal", "customerships": [{"company": "kauppa", "number": "90"}]}
    await people.put(people.entry("kauppa", **firm))

    def role(number: str, who: object) -> dict[str, Any]:
        organisation = {"company": "kauppa", "number": "90"}
        return person("kauppa", number, recipient="contact", organisation=organisation, person=who)

    (later,) = await people.put(people.entry("kauppa", **role("91", {"company": "kauppa", "number": "11"})))
    assert await bound(people, ident(later)) == [str(eva)]
    assert await bound(people, eva) == [], "the organisation's own no does not bind the person"
    own = people.context.keys.pairwise("company.kauppa", eva)
    (by_id,) = await people.put(people.entry("kauppa", **role("92", own)))
    assert await bound(people, ident(by_id)) == [str(eva)]
    foreign = people.context.keys.pairwise("company.sahko", eva)
    stranger = await put(people, "sahko", name="Stranger")
    theirs = people.context.keys.pairwise("company.kauppa", stranger)
    rules = set()
    for unknown in (foreign, str(eva), theirs, str(uuid4()), {"company": "kauppa", "number": "99"}):
        (refused,) = await people.put(people.entry("kauppa", **role("93", unknown)))
        rules.add((refused.status, refused.problems))
    assert len(rules) == 1, "whom it may not name is nobody"


async def test_a_persons_role_follows_a_merge(context: CustomersContext, people: CustomersRegister) -> None:
    eva, again = await put(people, "kauppa", name="Eva Ek"), await put(people, "kauppa", "12", name="Eva Ek")
    await people.put(people.entry(recipient="legal", **person("kauppa", "90")))
    (role,) = await people.put(
        people.entry(
            recipient="contact",
            organisation={"company": "kauppa", "number": "90"},
            person=str(eva),
            customerships=[{"company": "kauppa", "number": "91"}],
        )
    )
    await merge(context, eva, again)
    assert await bound(people, ident(role)) == [str(again)]


async def test_a_row_that_contradicts_is_refused_and_looked_at(
    context: CustomersContext, people: CustomersRegister
) -> None:
    """One identifier, two people: their consents and bans would be mixed for ever."""
    anna = await put(people, "kauppa", "21", name="Anna A", business_id="1572860-0", identity_code=CODE)
    for number, fields, names in (
        ("22", {"name": "Bertta B", "identity_code": "170580-308K"}, ("birth_date", "identity_code", "name")),
        ("23", {"name": "Bertta B"}, ("name",)),
        ("24", {"birth_date": "1990-01-01"}, ("birth_date",)),
    ):
        row = person("kauppa", number, business_id="1572860-0", **fields)
        (refused,) = await people.put(people.entry("kauppa", **row))
        assert refused.status == "refused"
        assert {p.field for p in refused.problems} == {*names}
    found = await contradictions(context)
    assert [(c.customer, c.source, c.number) for c in found] == [
        (anna, "kauppa", n) for n in ("22", "23", "24")
    ]
    other = await put(people, "sahko", "25", name="Bertta B", business_id="1572860-0")
    assert other != anna
    assert await bound(people, other) == [], "two of one business id are looked at, not bound"
    assert [(c.reason, c.bound) for c in await candidates(context)] == [("identifier", False)]
    (same,) = await people.put(
        people.entry("kauppa", **person("kauppa", "26", name="A, Anna", business_id="1572860-0"))
    )
    assert same.id == anna


async def test_what_an_erased_person_is_known_again_by(people: CustomersRegister) -> None:
    """Equal for whoever comes back with one of these; of no use to anybody without our index key."""

    async def known(number: str, **fields: Any) -> set[str]:
        return set((await people.record(await put(people, "kauppa", number, **fields))).get("known_by", []))

    tagged = await known("31", points=[EMAIL | {"value": "Eva+shop@example.com"}])
    assert tagged == await known("32", points=[EMAIL])
    at_home = await known("33", name="Eva Ek", points=[POST])
    assert len(at_home) == 1
    assert at_home == await known("34", name="EK Éva", points=[POST])
    assert not at_home & await known("35", name="Adam Ek", points=[POST])
    by_code = await known("36", identity_code=CODE)
    assert len(by_code) == 1
    assert await known("37", name="Nobody") == set()
