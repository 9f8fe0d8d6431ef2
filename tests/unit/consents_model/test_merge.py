"""Those who were merged are one person: a no of any binds all; nothing is allowed by the merge itself."""

from dataclasses import replace
from uuid import UUID

from kielto.events.words import Act, Channel, Recipient, Status
from services.consents.model.decisions import NumberSubject
from services.consents.model.facts import CustomerFacts, Person, persons
from tests.unit.consents_model.said import asked, consent, customer, points, rulings, say


def alias(gone: CustomerFacts, of: UUID) -> CustomerFacts:
    return replace(gone, alias_of=of, status=Status.ALIAS)


def merged(kept: CustomerFacts, gone: CustomerFacts) -> Person:
    return persons([kept, alias(gone, kept.id)])[kept.id]


class TestPersons:
    def test_are_found_through_chains_in_any_order(self) -> None:
        a, b, c, d = customer(), customer(), customer(), customer()
        everyone = [a, alias(b, a.id), alias(c, b.id), d]
        for given in (everyone, everyone[::-1]):
            found = persons(given)
            assert found[a.id] == found[b.id] == found[c.id] == Person(a, (alias(b, a.id), alias(c, b.id)))
            assert found[c.id].keys == (a.id, b.id, c.id)
            assert found[d.id] == Person(d)

    def test_without_a_known_survivor_nothing_is_allowed(self) -> None:
        a, b, c = customer(), customer(), customer()
        for lost in (
            [alias(a, UUID(int=999))],
            [alias(a, b.id), alias(b, a.id)],
            [alias(c, a.id), alias(a, c.id)],
        ):
            for person in persons(lost).values():
                assert not any(r.allowed for r in rulings(person).values())

    def test_circles_have_one_root_whoever_asks(self) -> None:
        a, b, c = customer(), customer(), customer()
        found = persons([alias(a, b.id), alias(b, a.id), alias(c, b.id)])
        assert len({p.root.id for p in found.values()}) == 1

    def test_know_their_employer_under_any_key(self) -> None:
        firm, other = customer(Recipient.LEGAL), customer(Recipient.LEGAL)
        ben = customer(Recipient.CONTACT, organisation=other.id, duties=frozenset({"food"}))
        found = persons([firm, alias(other, firm.id), ben])[ben.id]
        assert found.employer == Person(firm, (alias(other, firm.id),))
        for spoke in (firm, other):
            assert not asked(found, say(Act.BAN, spoke)).allowed


class TestMerge:
    def test_a_no_of_any_binds_all_everywhere(self) -> None:
        anna, again = customer(), customer(its_points=points(at="old"))
        for spoke in (anna, again):
            no = say(Act.BAN, spoke)
            assert not any(r.allowed for r in rulings(merged(anna, again), no).values())

    def test_what_one_banned_and_lifted_stays_lifted(self) -> None:
        anna, again = customer(), customer()
        no = say(Act.BAN, again)
        assert asked(merged(anna, again), no, say(Act.LIFTING, again, [no]), channel=Channel.PHONE).allowed

    def test_the_survivor_lifts_for_all(self) -> None:
        anna, again = customer(), customer()
        no = say(Act.BAN, again)
        assert asked(merged(anna, again), no, say(Act.LIFTING, anna, [no]), channel=Channel.PHONE).allowed

    def test_consent_of_the_merged_counts_only_at_addresses_that_it_was_about(self) -> None:
        anna, same, old = customer(), customer(), customer(its_points=points(at="old"))
        assert asked(merged(anna, same), consent(same)).allowed, "the same address"
        assert not asked(merged(anna, old), consent(old)).allowed
        assert not asked(merged(anna, replace(same, points=())), consent(same)).allowed, "not known any more"
        assert asked(merged(anna, old), consent(anna)).allowed

    def test_consent_by_a_number_that_moved_counts_only_at_addresses_that_it_was_about(self) -> None:
        anna, old = customer(), customer(its_points=points(at="old"))
        said = consent(NumberSubject("kauppa", old.customerships[0].ref))
        kept = replace(anna, customerships=anna.customerships + old.customerships)
        assert asked(old, said).allowed
        assert not asked(merged(kept, old), said).allowed, "where nobody asked"
        assert asked(merged(replace(kept, points=old.points + anna.points), old), said).allowed

    def test_restricting_facts_of_any_count(self) -> None:
        anna, again = customer(), customer()
        for fact in ("deceased", "minor"):
            gone = replace(again, **{fact: True})  # type: ignore[arg-type]
            assert asked(merged(anna, gone), channel=Channel.PHONE).rule == fact
        assert asked(merged(anna, replace(again, safety_ban=True)), channel=Channel.POST).rule == "safety-ban"

    def test_facts_are_otherwise_the_survivors(self) -> None:
        anna = customer(companies=("kauppa",))
        again = customer(companies=("sahko",), its_points=points(at="old"))
        person = merged(anna, again)
        assert {c.point for c in rulings(person)} == {p.id for p in anna.points}
        assert not asked(person, channel=Channel.PHONE, company="sahko").allowed
