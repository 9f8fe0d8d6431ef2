"""What follows from the permissions at the cells."""

from dataclasses import replace

from kielto.events.words import Act, Channel, Mode, Reach
from services.consents.model.decisions import RecordedDecision
from services.consents.model.derived import partner_view, takes_away
from services.consents.model.evaluate import evaluate
from services.consents.model.facts import CustomerFacts, Person
from services.consents.model.ruling import CellPermission
from tests.unit.consents_model.said import GROUP, RULES, consent, customer, say
from tests.unit.consents_model.world import allowances

BOTH = frozenset({("kauppa", "matkat"), ("sahko", "matkat")})


def cells(who: CustomerFacts, *decisions: RecordedDecision) -> tuple[CellPermission, ...]:
    return evaluate(Person(who), decisions, GROUP, RULES)


class TestPartnerView:
    def test_holds_only_what_was_disclosed(self) -> None:
        anna = customer(companies=("kauppa", "sahko"))
        assert partner_view(cells(anna), "matkat", frozenset()) == ()
        assert partner_view(cells(anna), "pankki", BOTH) == ()
        found = partner_view(cells(anna), "matkat", frozenset({("kauppa", "matkat")}))
        assert {(v.cell.company, v.cell.partner, v.cell.mode) for v in found} == {
            ("kauppa", "matkat", Mode.PARTNER_SENDS)
        }
        assert {v.cell.channel for v in found if v.ruling.allowed} == {Channel.PHONE, Channel.POST}

    def test_one_verdict_a_point_and_channel_and_each_discloser_has_to_allow(self) -> None:
        anna = customer(companies=("kauppa", "sahko"))
        no = say(Act.BAN, anna, reach=Reach.COMPANY, company="sahko", channels=[Channel.PHONE])
        found = partner_view(cells(anna, no), "matkat", BOTH)
        assert len(found) == len({(v.cell.point, v.cell.channel) for v in found}) == 6
        assert {v.cell.channel for v in found if v.ruling.allowed} == {Channel.POST}
        phone = next(v for v in found if v.cell.channel is Channel.PHONE)
        assert phone.ruling.decisions == (no.id,)
        backwards = partner_view(cells(anna, no)[::-1], "matkat", BOTH)
        assert {v.cell.channel for v in backwards if v.ruling.allowed} == {Channel.POST}

    def test_product_groups_are_those_that_each_allows(self) -> None:
        anna = customer(companies=("kauppa", "sahko"))

        def email(*groups: tuple[str, str]) -> CellPermission:
            said = [
                replace(consent(anna, partner="matkat", product_groups=[g]), company=company)
                for company, g in groups
            ]
            found = partner_view(cells(anna, *said), "matkat", BOTH)
            return next(v for v in found if v.cell.channel is Channel.EMAIL)

        everywhere = (("kauppa", "food"), ("kauppa", "power"), ("sahko", "food"))
        assert email(*everywhere).ruling.product_groups == frozenset({"food"})
        assert not email(("kauppa", "food"), ("sahko", "power")).ruling.allowed
        assert not email(("kauppa", "food")).ruling.allowed

    def test_an_opt_out_empties_it(self) -> None:
        anna = customer(companies=("kauppa", "sahko"))
        found = partner_view(cells(anna, say(Act.OPT_OUT, anna)), "matkat", BOTH)
        assert found
        assert not any(v.ruling.allowed for v in found)


class TestTakesAway:
    def test_in_the_small(self) -> None:
        food, both = frozenset({"food"}), frozenset({"food", "power"})
        assert takes_away({"a": None}, {})
        assert takes_away({"a": None}, {"a": food})
        assert takes_away({"a": both}, {"a": food, "b": None})
        assert not takes_away({"a": food}, {"a": both})
        assert not takes_away({"a": food}, {"a": None})
        assert not takes_away({}, {"a": food})
        assert not takes_away({"a": food, "b": None}, {"a": food, "b": None})

    def test_of_a_ban_and_its_lifting(self) -> None:
        anna = customer()
        no = say(Act.BAN, anna)
        before, after = allowances(cells(anna)), allowances(cells(anna, no))
        assert takes_away(before, after)
        assert not takes_away(after, before)
        assert allowances(cells(anna, no, say(Act.LIFTING, anna, [no]))) == before
