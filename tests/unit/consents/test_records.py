"""The records that are published: what they list, how they are compared, and how decisions are read back."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from kielto.events.records import CustomerPermissions, Permissions
from kielto.events.words import Channel, Mode, PointKind, Purpose
from kielto.service.support.crypto_keys import KeyFile, Keys
from services.consents.model.facts import CustomerFacts, CustomershipFacts, Person, PointFacts
from services.consents.model.ruling import Cell, CellPermission, Groups, Ruling, RulingReason
from services.consents.use_cases.permissions.build_records import PersonRecords, flat
from services.consents.use_cases.permissions.evaluate_people import PersonPermissions

PARTY = "company.a"
PARTIES = (PARTY, "company.b", "partner.p")
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys(
        KeyFile(
            digest_key=secrets.token_hex(64),
            master_key=secrets.token_hex(32),
            index_key=secrets.token_hex(32),
            id_keys={party: secrets.token_hex(32) for party in PARTIES},
            point_keys={party: {1: secrets.token_hex(32)} for party in PARTIES},
        )
    )


def permission(
    point: PointFacts,
    *,
    allowed: bool = True,
    groups: Groups = None,
    company: str = "a",
    partner: str | None = None,
) -> CellPermission:
    purpose, mode = Purpose.OWN_MARKETING, None
    if partner:
        purpose, mode = Purpose.PARTNER_MARKETING, Mode.PARTNER_SENDS
    cell = Cell(company, point.id, Channel.EMAIL, purpose, partner, mode)
    return CellPermission(
        cell, Ruling(allowed, groups if allowed else frozenset(), RulingReason.CONSENT, "row", "section")
    )


def permissions(
    customer: CustomerFacts, *cells: CellPermission, disclosed: frozenset[tuple[str, str]] = frozenset()
) -> PersonPermissions:
    return PersonPermissions(Person(customer), (), cells, frozenset(), disclosed)


def record(keys: Keys, of: PersonPermissions, family: str = PARTY) -> Permissions:
    found = PersonRecords(of, keys, NOW, None).of(of.person.root, family, "f" * 64)
    assert isinstance(found, Permissions)
    return Permissions.model_validate_json(
        found.model_dump_json(exclude_defaults=True, exclude={"version"})[:-1] + ',"version":"1.1"}'
    )


def email(keys: Keys, digest: bytes = b"d" * 32) -> PointFacts:
    return PointFacts(uuid4(), PointKind.EMAIL, keys.encrypt(digest).encode())


def test_every_point_is_listed_under_the_partys_own_hash_with_what_is_allowed(keys: Keys) -> None:
    one, other, post = email(keys), email(keys, b"e" * 32), PointFacts(uuid4(), PointKind.POST)
    number = CustomershipFacts("a", keys.encrypt(b"n" * 32).encode())
    foreign = CustomershipFacts("b", keys.encrypt(b"m" * 32).encode())
    customer = CustomerFacts(uuid4(), points=(one, other, post), customerships=(number, foreign))
    found = record(
        keys,
        permissions(
            customer,
            permission(one),
            permission(other, allowed=False),
            permission(post, groups=frozenset("z")),
        ),
    )
    mail, other_mail, home = (
        keys.point(PARTY, b"d" * 32),
        keys.point(PARTY, b"e" * 32),
        keys.pairwise(PARTY, post.id),
    )
    assert {(at.point, at.channel) for at in found.points} == {
        (mail, "email"),
        (other_mail, "email"),
        (home, "post"),
        (home, "door"),
        (home, "email"),  # what the permission above, made by hand, is about
    }
    assert found.numbers == (keys.point(PARTY, b"n" * 32),)
    assert {at.point: at.allow[0].product_groups for at in found.points if at.allow} == {
        mail: None,
        home: ("z",),
    }


def test_only_points_that_the_company_or_the_group_states_are_listed(keys: Keys) -> None:
    """A reader tells who is denied from who is unknown, and hears nothing of what others alone have."""
    own, foreign, common = email(keys), email(keys, b"e" * 32), email(keys, b"f" * 32)
    own, foreign = replace(own, holders=frozenset("ac")), replace(foreign, holders=frozenset("b"))
    found = record(keys, permissions(CustomerFacts(uuid4(), points=(own, foreign, common))))
    assert [at.allow for at in found.points] == [(), ()]
    assert {at.point for at in found.points} == {keys.point(PARTY, b"d" * 32), keys.point(PARTY, b"f" * 32)}
    theirs = record(keys, permissions(CustomerFacts(uuid4(), points=(own, foreign))), "company.b")
    assert {at.point for at in theirs.points} == {keys.point("company.b", b"e" * 32)}


def test_a_partner_is_told_of_points_that_who_disclosed_has_and_where_each_of_them_allows(keys: Keys) -> None:
    one, twin, foreign = email(keys), email(keys), email(keys, b"e" * 32)
    one, twin = replace(one, holders=frozenset("a")), replace(twin, holders=frozenset("b"))
    customer = CustomerFacts(uuid4(), points=(one, twin, replace(foreign, holders=frozenset("c"))))
    address = keys.point("partner.p", b"d" * 32)
    disclosed = frozenset({("a", "p"), ("b", "p")})
    for others_word, expected in ((True, 1), (False, 0)):
        cells = (
            permission(one, partner="p"),
            permission(twin, company="b", partner="p", allowed=others_word),
            permission(foreign, company="c", partner="p"),
        )
        found = record(keys, permissions(customer, *cells, disclosed=disclosed), "partner.p")
        assert [(at.point, len(at.allow)) for at in found.points] == [(address, expected)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((True, None), (True, None), [None]),
        ((True, None), (False, None), []),
        ((False, None), (True, None), []),
        ((True, frozenset("xy")), (True, frozenset("yz")), [("y",)]),
        ((True, frozenset("x")), (True, frozenset("z")), []),
        ((True, None), (True, frozenset("z")), [("z",)]),
    ],
)
def test_two_contact_points_of_one_address_must_both_allow(
    keys: Keys, first: tuple[bool, Groups], second: tuple[bool, Groups], expected: list[object]
) -> None:
    one, twin, alone = email(keys), email(keys), email(keys, b"e" * 32)
    customer = CustomerFacts(uuid4(), points=(one, twin, alone))
    cells = [
        permission(point, allowed=allowed, groups=groups)
        for point, (allowed, groups) in ((one, first), (twin, second), (alone, (True, None)))
    ]
    found = record(keys, permissions(customer, *cells))
    by_point = {at.point: at for at in found.points}
    shared = by_point.pop(keys.point(PARTY, b"d" * 32))
    assert [a.product_groups for a in shared.allow] == expected
    assert set(by_point) == {keys.point(PARTY, b"e" * 32)}


def test_what_was_not_sealed_by_us_cannot_be_asked_for(keys: Keys) -> None:
    point = PointFacts(uuid4(), PointKind.EMAIL, b"A" * 64)
    assert record(keys, permissions(CustomerFacts(uuid4(), points=(point,)), permission(point))).points == ()


def test_a_partner_sees_what_was_disclosed_to_it_alone(keys: Keys) -> None:
    point = email(keys)
    customer = CustomerFacts(uuid4(), points=(point,))
    theirs = permission(point, partner="p")
    assert record(keys, permissions(customer, theirs), "partner.p").points == ()
    found = record(
        keys, permissions(customer, theirs, permission(point), disclosed=frozenset({("a", "p")})), "partner.p"
    )
    assert [a.partner for at in found.points for a in at.allow] == ["p"]
    assert found.numbers == ()


def test_our_own_record_names_contact_points_by_id_and_companies_with_something_allowed(keys: Keys) -> None:
    point = email(keys)
    of = permissions(
        CustomerFacts(uuid4(), points=(point,)),
        permission(point),
        permission(point, company="b", allowed=False),
    )
    found = PersonRecords(of, keys, NOW, None).of(of.person.root, "consents", str(of.person.root.id))
    assert isinstance(found, CustomerPermissions)
    assert [(c.company, [at.point for at in c.points]) for c in found.companies] == [("a", [str(point.id)])]


def test_flat_tells_everything_apart() -> None:
    allow = [
        {"purpose": "own_marketing"},
        {"purpose": "partner_marketing", "partner": "p", "mode": "we_send"},
    ]
    points = [{"point": "x", "channel": "email", "allow": allow}]
    body = {"points": points, "companies": [{"company": "a", "points": points}]}
    assert len(flat(body)) == 4
    assert flat(
        {"points": [{"point": "x", "channel": "sms", "allow": [{"purpose": "q", "product_groups": ["g"]}]}]}
    ) == {("", "x", "sms", "q", None, None): frozenset("g")}
    assert flat({"status": "erased"}) == {}
