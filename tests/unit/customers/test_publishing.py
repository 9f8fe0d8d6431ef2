"""What the others learn: digests for our own services, to a company what it is entitled to."""

import hashlib
from typing import Any
from uuid import UUID

import pytest

from kielto.events.digests import point_of
from kielto.service.support.crypto_keys import Keys
from services.customers.model.publishing import entitled, record
from tests.unit.customers.world import NEW, after, row, said

EMAIL: dict[str, Any] = {"kind": "email", "value": "aino@example.com"}
POST: dict[str, Any] = {
    "kind": "post",
    "address": {"street": "Katu 1", "postal_code": "00100", "city": "Turku"},
}
NUMBERS = [{"company": "kauppa", "number": "k-1"}, {"company": "sahko", "number": "7"}]


class PlainKeys(Keys):
    """Keys one can read."""

    def __init__(self) -> None:
        """Without a file of keys."""

    def pairwise(self, party: str, ident: UUID) -> str:
        return point_of(party.encode(), ident.bytes)

    def point(self, party: str, digest: bytes, generation: int | None = None) -> str:
        return point_of(party.encode(), digest)

    def encrypt(self, digest: bytes) -> str:
        return (digest.hex() + "0" * 64)[:64]

    def known_by(self, field: str, value: str) -> str:
        return (hashlib.sha256(f"{field} {value}".encode()).hexdigest() + "0" * 64)[:64]


def known(**fields: Any) -> Any:
    return after(NEW, said(name="Aino", points=[EMAIL, POST], customerships=NUMBERS, **fields))


def test_our_own_services_get_no_address_name_or_number() -> None:
    text = record(known(), PlainKeys()).model_dump_json()
    assert not any(word in text for word in ("aino", "Aino", "Katu", "00100", "k-1", "K-1"))


def test_a_company_gets_its_own_numbers_and_hashes() -> None:
    kauppa, sahko = (entitled(known(), company, PlainKeys()) for company in ("kauppa", "sahko"))
    assert (kauppa.numbers, sahko.numbers) == (("k-1",), ("7",))
    assert kauppa.name == sahko.name == "Aino"
    assert [p.value for p in kauppa.points] == ["aino@example.com", "Katu 1\n00100 TURKU\nFI"]
    assert not {p.point for p in kauppa.points} & {p.point for p in sahko.points}
    assert kauppa.subject != sahko.subject


def test_a_safety_ban_hides_the_address() -> None:
    assert [p.channel_kind for p in entitled(known(safety_ban=True), "kauppa", PlainKeys()).points] == [
        "email"
    ]


def test_after_the_end_nothing_but_the_number_is_left() -> None:
    former = after(known(), row(number="k-1", ended="2026-06-01"), "kauppa", importing=True)
    left = entitled(former, "kauppa", PlainKeys())
    assert left.model_dump(exclude_defaults=True).keys() == {"version", "subject", "numbers"}
    assert entitled(former, "sahko", PlainKeys()).name == "Aino"
    active = {c.company: c.active for c in record(former, PlainKeys()).customerships}
    assert active == {"kauppa": False, "sahko": True}


STREET = {"street": "Käsityökatu 1 A 2", "postal_code": "00100", "city": "Helsinki"}


def known_by(name: str, **address: str) -> tuple[str, ...]:
    point = POST | {"address": STREET | address}
    return record(after(NEW, said(name=name, points=[point], customerships=NUMBERS)), PlainKeys()).known_by


@pytest.mark.parametrize(
    "spelt",
    [
        {},
        {"street": "KÄSITYÖKATU 1 A 2"},
        {"street": "käsityökatu 1a2"},
        {"street": "Käsityökatu 1, A 2."},
        {"street": "Kasityokatu 1 A 2"},
        {"city": "Helsingfors"},
        {"country": "FI"},
    ],
)
def test_a_home_is_known_again_however_it_is_spelt(spelt: dict[str, str]) -> None:
    """Lists spell addresses in every way; whoever is bound by it was erased and said no."""
    assert known_by("Eva Ek", **spelt) == known_by("EK, Éva")
    assert len(known_by("Eva Ek", **spelt)) == 1


@pytest.mark.parametrize(
    "other",
    [{"street": "Käsityökatu 1 A 3"}, {"postal_code": "00200"}, {"postal_code": "100", "country": "SE"}],
)
def test_another_home_is_another(other: dict[str, str]) -> None:
    assert known_by("Eva Ek", **other) != known_by("Eva Ek")
    assert known_by("Adam Ek") != known_by("Eva Ek")
