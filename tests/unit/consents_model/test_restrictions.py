"""Whom a *no* binds, how far, and what it takes to lift it."""

from dataclasses import replace
from uuid import UUID

import pytest

from kielto.events.words import Act, Channel, Mode, PointKind, Purpose, Reach, Recipient, Status
from services.consents.model.decisions import Actor, NumberSubject, PointSubject, RecordedDecision, Route
from services.consents.model.facts import CustomerFacts, CustomershipFacts, Person, PointFacts
from services.consents.model.rules import Rules
from services.consents.model.rules_file import Judgement
from services.consents.model.ruling import RulingReason
from tests.unit.consents_model.said import RULES, asked, consent, customer, points, rulings, sale, say
from tests.unit.consents_model.world import restrictions_in_force

CALLS = (Channel.PHONE,)


def in_force(who: CustomerFacts | Person, *decisions: RecordedDecision) -> frozenset[UUID]:
    return restrictions_in_force(who if isinstance(who, Person) else Person(who), decisions, RULES)


class TestReach:
    def test_a_bare_ban_is_everything(self) -> None:
        anna = customer(companies=("kauppa", "sahko"), its_points=points(sales=(sale(),)))
        found = rulings(anna, say(Act.BAN, anna), consent(anna), consent(anna, partner="matkat"))
        assert not any(r.allowed for r in found.values())

    def test_a_bare_opt_out_is_all_partners_and_leaves_own_marketing(self) -> None:
        anna = customer(companies=("kauppa", "sahko"))
        no = say(Act.OPT_OUT, anna)
        kept = {c for c, r in rulings(anna, no).items() if r.allowed}
        assert {c.partner for c in kept} == {None}
        assert {(c.company, c.channel) for c in kept} == {
            (company, channel) for company in ("kauppa", "sahko") for channel in (Channel.PHONE, Channel.POST)
        }

    def test_an_opt_out_of_one_partner_leaves_the_others(self) -> None:
        anna = customer()
        no = say(Act.OPT_OUT, anna, partner="matkat")
        assert asked(anna, no, channel=Channel.PHONE, partner="matkat").decisions == (no.id,)
        assert asked(anna, no, channel=Channel.PHONE, partner="pankki").allowed

    def test_a_ban_on_one_company_and_channel_leaves_the_others(self) -> None:
        anna = customer(companies=("kauppa", "sahko"))
        no = say(Act.BAN, anna, reach=Reach.COMPANY, company="kauppa", channels=CALLS)
        assert not asked(anna, no, channel=Channel.PHONE).allowed
        assert asked(anna, no, channel=Channel.POST).allowed
        assert asked(anna, no, channel=Channel.PHONE, company="sahko").allowed

    def test_a_partner_opt_out_may_be_limited_to_one_company(self) -> None:
        anna = customer(companies=("kauppa", "sahko"))
        no = say(Act.OPT_OUT, anna, reach=Reach.PARTNER, company="kauppa", partner="matkat")
        assert not asked(anna, no, channel=Channel.PHONE, partner="matkat").allowed
        assert asked(anna, no, channel=Channel.PHONE, company="sahko", partner="matkat").allowed

    def test_a_ban_on_disclosure_stops_the_partner_from_sending_and_not_us(self) -> None:
        anna = customer()
        no = say(Act.OBJECTION, anna, purposes=[Purpose.DISCLOSURE])
        assert not asked(anna, no, channel=Channel.PHONE, partner="matkat", mode=Mode.PARTNER_SENDS).allowed
        assert asked(anna, no, channel=Channel.PHONE, partner="matkat", mode=Mode.WE_SEND).allowed
        assert asked(anna, no, channel=Channel.PHONE).allowed

    def test_an_empty_set_in_a_no_is_everything_and_in_a_yes_nothing(self) -> None:
        anna = customer()
        no = replace(say(Act.BAN, anna), purposes=frozenset(), channels=frozenset())
        assert not any(r.allowed for r in rulings(anna, no).values())
        said = consent(anna)
        assert not asked(anna, replace(said, purposes=frozenset())).allowed
        assert not asked(anna, replace(said, channels=frozenset())).allowed

    @pytest.mark.parametrize("by", [a for a in Actor if a is not Actor.PERSON])
    def test_a_no_is_taken_from_anyone_and_a_yes_from_the_person_alone(self, by: Actor) -> None:
        anna = customer()
        no = say(Act.BAN, anna, by=by, channels=CALLS)
        assert not asked(anna, no, channel=Channel.PHONE).allowed
        assert not asked(anna, no, say(Act.LIFTING, anna, [no], by=by), channel=Channel.PHONE).allowed
        assert not asked(anna, consent(anna, by=by)).allowed


class TestLifting:
    def test_lifts_what_it_cites_and_nothing_else(self) -> None:
        anna = customer()
        one, two = say(Act.BAN, anna), say(Act.OBJECTION, anna, channels=CALLS)
        lifting = say(Act.LIFTING, anna, [one])
        assert asked(anna, one, two, lifting, channel=Channel.PHONE).decisions == (two.id,)
        assert asked(anna, one, two, lifting, channel=Channel.POST).decisions == (lifting.id,)
        assert in_force(anna, one, two, lifting) == {two.id}

    def test_may_arrive_before_the_restriction_that_it_cites(self) -> None:
        anna = customer()
        no = say(Act.BAN, anna)
        lifting = say(Act.LIFTING, anna, [no])
        assert rulings(anna, lifting, no) == rulings(anna, no, lifting)
        assert asked(anna, lifting, no, channel=Channel.PHONE).allowed

    def test_a_narrow_yes_lifts_a_broad_no_only_within_itself(self) -> None:
        anna = customer(companies=("kauppa", "sahko"))
        no = say(Act.BAN, anna)
        said = consent(anna, [Channel.EMAIL], lifts=[no])
        allowed = {(c.company, c.channel, c.purpose) for c, r in rulings(anna, no, said).items() if r.allowed}
        assert allowed == {("kauppa", Channel.EMAIL, Purpose.OWN_MARKETING)}
        assert in_force(anna, no, said) == {no.id}

    def test_a_consent_for_product_groups_lifts_for_those(self) -> None:
        anna = customer()
        no = say(Act.BAN, anna)
        said = consent(anna, lifts=[no], product_groups=["food"])
        assert asked(anna, no, said, channel=Channel.PHONE).product_groups == frozenset({"food"})
        assert in_force(anna, no, said) == {no.id}

    def test_several_yeses_may_lift_together(self) -> None:
        anna = customer()
        no = say(Act.BAN, anna)
        parts = [say(Act.LIFTING, anna, [no], channels=[c]) for c in Channel]
        assert asked(anna, no, *parts, channel=Channel.PHONE).allowed
        assert in_force(anna, no, *parts) == frozenset()
        assert in_force(anna, no, *parts[1:]) == {no.id}

    def test_what_was_consented_to_before_counts_again(self) -> None:
        anna = customer()
        said, no = consent(anna), say(Act.WITHDRAWAL, anna)
        assert not asked(anna, said, no).allowed
        assert asked(anna, said, no, say(Act.LIFTING, anna, [no])).allowed

    def test_a_consent_that_does_not_cite_overcomes_nothing(self) -> None:
        anna = customer()
        no = say(Act.WITHDRAWAL, anna)
        assert asked(anna, no, consent(anna)).decisions == (no.id,)
        assert asked(anna, no, consent(anna, lifts=[no])).allowed

    def test_partners_are_lifted_by_a_consent_that_names_them_or_a_lifting(self) -> None:
        anna = customer()
        no = say(Act.OPT_OUT, anna)
        named = consent(anna, partner="matkat", lifts=[no])
        assert asked(anna, no, named, channel=Channel.PHONE, partner="matkat").allowed
        assert not asked(anna, no, named, channel=Channel.PHONE, partner="pankki").allowed
        unnamed = replace(named, reach=Reach.GROUP, partner=None)
        assert not asked(anna, no, unnamed, channel=Channel.PHONE, partner="matkat").allowed
        assert in_force(anna, no, unnamed) == {no.id}
        assert in_force(anna, no, say(Act.LIFTING, anna, [no])) == frozenset()


class TestAddress:
    """A contact point is not a person."""

    def test_blocks_everybody_who_has_it_there(self) -> None:
        shared = points(sales=(sale(),))
        anna, ben = customer(its_points=shared), customer(its_points=shared)
        no = say(Act.BAN, PointSubject(b"email of anna"), route=Route.ONE_CLICK)
        for who in (anna, ben):
            assert asked(who, no).reason is RulingReason.RESTRICTED
            assert asked(who, no, channel=Channel.SMS).allowed
            assert in_force(who, no) == {no.id}
        assert asked(customer(its_points=points(sales=(sale(),), at="cecilia")), no).allowed

    def test_an_identified_person_frees_it_for_themselves_only(self) -> None:
        shared = points()
        anna, ben = customer(its_points=shared), customer(its_points=shared)
        no = say(Act.BAN, PointSubject(b"phone of anna"))
        lifting = say(Act.LIFTING, anna, [no])
        assert asked(anna, no, lifting, channel=Channel.PHONE).allowed
        assert not asked(ben, no, lifting, channel=Channel.PHONE).allowed
        assert in_force(anna, no, lifting) == frozenset()
        assert in_force(ben, no, lifting) == {no.id}

    def test_the_address_itself_frees_it_for_all(self) -> None:
        shared = points()
        no = say(Act.BAN, PointSubject(b"phone of anna"))
        lifting = say(Act.LIFTING, PointSubject(b"phone of anna"), [no])
        for who in (customer(its_points=shared), customer(its_points=shared)):
            assert asked(who, no, lifting, channel=Channel.PHONE).allowed
            assert in_force(who, no, lifting) == frozenset()

    def test_another_address_frees_nothing(self) -> None:
        anna = customer()
        no = say(Act.BAN, PointSubject(b"phone of anna"))
        lifting = say(Act.LIFTING, PointSubject(b"email of anna"), [no])
        assert not asked(anna, no, lifting, channel=Channel.PHONE).allowed
        assert in_force(anna, no, lifting) == {no.id}

    def test_an_address_does_not_lift_what_the_person_banned(self) -> None:
        anna = customer()
        no = say(Act.BAN, anna)
        lifting = say(Act.LIFTING, PointSubject(b"phone of anna"), [no])
        assert not asked(anna, no, lifting, channel=Channel.PHONE).allowed

    def test_an_address_consents_for_nobody_unless_so_judged(self) -> None:
        anna = customer()
        said = consent(PointSubject(b"email of anna"))
        assert not asked(anna, said).allowed
        assert asked(anna, said, rules=Rules.shipped({Judgement.POINT_MAY_CONSENT: True})).allowed


class TestNumber:
    def test_is_whoever_has_the_customership(self) -> None:
        anna, ben = customer(), customer()
        number = NumberSubject("kauppa", anna.customerships[0].ref)
        no = say(Act.BAN, number)
        assert not asked(anna, no, channel=Channel.PHONE).allowed
        assert asked(ben, no, channel=Channel.PHONE).allowed
        assert asked(anna, no, say(Act.LIFTING, number, [no]), channel=Channel.PHONE).allowed
        assert asked(anna, no, say(Act.LIFTING, anna, [no]), channel=Channel.PHONE).allowed
        assert asked(anna, consent(number)).allowed

    def test_an_ended_one_still_binds_and_says_no_yes(self) -> None:
        """Numbers pass on to others."""
        anna = customer(companies=("kauppa", "sahko"))
        number = NumberSubject("kauppa", anna.customerships[0].ref)
        ended = replace(
            anna, customerships=(replace(anna.customerships[0], active=False), anna.customerships[1])
        )
        no = say(Act.BAN, number)
        assert not asked(ended, no, channel=Channel.PHONE, company="sahko").allowed
        lifting = say(Act.LIFTING, number, [no])
        assert not asked(ended, no, lifting, channel=Channel.PHONE, company="sahko").allowed

    def test_of_another_company_is_another(self) -> None:
        anna = customer()
        no = say(Act.BAN, NumberSubject("sahko", anna.customerships[0].ref))
        assert asked(anna, no, channel=Channel.PHONE).allowed


class TestOrganisation:
    @staticmethod
    def firm_and_contact(duties: frozenset[str] = frozenset({"food"})) -> tuple[CustomerFacts, Person]:
        firm = customer(Recipient.LEGAL)
        contact = customer(
            Recipient.CONTACT, duties=duties, organisation=firm.id, its_points=points(at="ben")
        )
        return firm, Person(contact, employers=(Person(firm),))

    def test_its_ban_binds_its_contact_persons(self) -> None:
        firm, ben = self.firm_and_contact()
        no = say(Act.BAN, firm)
        assert asked(ben).product_groups == frozenset({"food"})
        assert asked(ben, no).decisions == (no.id,)
        assert not asked(ben, no, channel=Channel.PHONE).allowed
        assert in_force(ben, no) == {no.id}
        assert in_force(replace(ben, employers=()), no) == {no.id}, (
            "before the organisation's facts are known"
        )

    def test_also_by_its_number(self) -> None:
        firm, ben = self.firm_and_contact()
        no = say(Act.BAN, NumberSubject("kauppa", firm.customerships[0].ref))
        assert not asked(ben, no).allowed

    def test_unless_so_judged(self) -> None:
        firm, ben = self.firm_and_contact()
        rules = Rules.shipped({Judgement.ORGANISATION_BINDS_CONTACTS: False})
        assert asked(ben, say(Act.BAN, firm), rules=rules).allowed

    def test_the_persons_own_consent_outside_duties_stands(self) -> None:
        firm, ben = self.firm_and_contact()
        no = say(Act.BAN, firm)
        named = consent(ben.root, product_groups=["food", "power"])
        assert asked(ben, no, named).product_groups == frozenset({"power"})

    def test_all_but_the_duties_cannot_be_said_so_nothing_is(self) -> None:
        firm, ben = self.firm_and_contact()
        assert not asked(ben, say(Act.BAN, firm), consent(ben.root)).allowed
        assert asked(ben, consent(ben.root)).product_groups is None

    def test_only_the_organisation_lifts_its_ban(self) -> None:
        firm, ben = self.firm_and_contact()
        no = say(Act.BAN, firm)
        assert not asked(ben, no, say(Act.LIFTING, ben.root, [no])).allowed
        assert asked(ben, no, say(Act.LIFTING, firm, [no])).allowed

    def test_a_number_of_both_lifts_nothing_of_the_organisations_also_when_it_has_ended(self) -> None:
        firm, ben = self.firm_and_contact()
        (shared, *_) = firm.customerships
        no = say(Act.BAN, firm)
        lifting = say(Act.LIFTING, NumberSubject("kauppa", shared.ref), [no])
        for active in (True, False):
            root = replace(ben.root, customerships=(*ben.root.customerships, replace(shared, active=active)))
            assert not asked(replace(ben, root=root), no, lifting).allowed
        assert asked(ben, no, lifting).allowed
        assert asked(firm, no, lifting).allowed

    def test_it_neither_lifts_nor_consents_for_the_person(self) -> None:
        firm, ben = self.firm_and_contact(duties=frozenset())
        no = say(Act.BAN, ben.root)
        assert not asked(ben, no, say(Act.LIFTING, firm, [no]), channel=Channel.PHONE).allowed
        assert not asked(ben, consent(firm)).allowed

    def test_a_contact_persons_ban_does_not_bind_the_employer(self) -> None:
        firm, ben = self.firm_and_contact()
        no = say(Act.BAN, ben.root)
        assert not any(r.allowed for r in rulings(ben, no).values())
        assert asked(firm, no).allowed

    def test_its_personal_addresses_are_natural_persons_unless_so_judged(self) -> None:
        firm = customer(Recipient.LEGAL, its_points=points(role_address=False))
        assert asked(firm).reason is RulingReason.NO_CONSENT
        assert asked(firm, channel=Channel.PHONE).allowed
        assert asked(firm, rules=Rules.shipped({Judgement.PERSONAL_ADDRESS_IS_NATURAL: False})).allowed


class TestFacts:
    @pytest.mark.parametrize(
        ("change", "rule"),
        [
            ({"deceased": True}, "deceased"),
            ({"minor": True}, "minor"),
            ({"status": Status.ERASED}, "erased"),
            ({"status": Status.ALIAS}, "survivor-unknown"),
            ({"alias_of": UUID(int=99)}, "survivor-unknown"),
        ],
    )
    def test_that_deny_everything(self, change: dict[str, object], rule: str) -> None:
        anna = customer(its_points=points(sales=(sale(),)))
        changed = replace(anna, **change)  # type: ignore[arg-type]
        found = rulings(changed, consent(anna), consent(anna, partner="matkat")).values()
        assert {(r.allowed, r.rule, r.reason) for r in found} == {(False, rule, RulingReason.FACT)}

    def test_a_safety_ban_hides_the_postal_address(self) -> None:
        anna = replace(customer(), safety_ban=True)
        assert asked(anna, channel=Channel.POST).rule == "safety-ban"
        assert asked(anna, channel=Channel.DOOR).rule == "safety-ban"
        assert asked(anna, channel=Channel.PHONE).allowed

    def test_an_ended_customership_ends_that_companys_marketing(self) -> None:
        anna = customer(companies=("kauppa", "sahko"))
        ended = replace(
            anna, customerships=(replace(anna.customerships[0], active=False), anna.customerships[1])
        )
        assert asked(ended, channel=Channel.PHONE).reason is RulingReason.NEVER
        assert asked(ended, channel=Channel.PHONE, company="sahko").allowed

    def test_a_point_of_kind_number_has_no_channel(self) -> None:
        anna = customer(its_points=(PointFacts(UUID(int=5), PointKind.NUMBER, b"1"),))
        assert rulings(replace(anna, customerships=(CustomershipFacts("kauppa", b"1"),))) == {}
