"""The table of the law, row by row, as a lawyer would write it down; kept apart from rules.toml on purpose.

OI needs consent; SO consent, or a sale by the same seller; OO allowed until banned; - never.
"""

import pytest

from kielto.events.words import Act, Channel, Mode, Purpose, Recipient
from services.consents.model.facts import CustomerFacts, SaleFacts
from services.consents.model.rules import Rules
from services.consents.model.rules_file import Judgement
from services.consents.model.ruling import Ruling, RulingReason
from tests.unit.consents_model.said import RULES, asked, consent, customer, points, rulings, sale, say

TABLE = """
natural          customer  own       email           SO
natural          customer  own       sms             SO
natural          customer  own       phone           OO
natural          customer  own       post            OO
natural          customer  own       automated_call  -
natural          customer  own       door            -
natural          customer  we_send   email           OI
natural          customer  we_send   sms             OI
natural          customer  we_send   phone           OO
natural          customer  we_send   post            OO
natural          customer  sends     email           OI
natural          customer  sends     sms             OI
natural          customer  sends     phone           OO
natural          customer  sends     post            OO
natural          prospect  own       email           -
natural          prospect  own       phone           -
natural          prospect  we_send   post            -
contact_duties   customer  own       email           OO
contact_duties   customer  own       sms             OO
contact_duties   customer  own       phone           OO
contact_duties   customer  own       post            OO
contact_duties   customer  we_send   email           OO
contact_duties   customer  sends     email           OO
contact_duties   customer  sends     phone           OO
contact_duties   customer  own       automated_call  -
contact_private  customer  own       email           OI
contact_private  customer  own       sms             OI
contact_private  customer  own       phone           OO
contact_private  customer  own       post            OO
contact_private  customer  we_send   email           OI
contact_private  customer  sends     sms             OI
contact_private  customer  sends     post            OO
legal            customer  own       email           OO
legal            customer  own       sms             OO
legal            customer  own       phone           OO
legal            customer  own       post            OO
legal            customer  we_send   email           OO
legal            customer  sends     email           OO
legal            customer  sends     post            OO
legal            prospect  own       post            -
user             customer  own       email           -
user             customer  own       phone           -
user             customer  we_send   post            -
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()]

PROSPECTS = """
natural          own       email  OI
natural          own       phone  OO
natural          own       post   OO
natural          sends     email  OI
natural          we_send   phone  OO
contact_duties   own       email  OO
contact_duties   we_send   sms    OI
contact_duties   sends     phone  OO
contact_private  own       email  OI
contact_private  own       post   OO
legal            own       email  OO
legal            we_send   post   OO
user             own       post   -
"""


def someone(who: str, relation: str, seller: str | None = None) -> CustomerFacts:
    companies = ["kauppa"] if relation == "customer" else ["sahko"]
    recipient = Recipient.CONTACT if who.startswith("contact") else Recipient(who)
    sales = (sale(seller),) if seller else ()
    its = points(role_address=who == "legal", sales=sales)
    duties = frozenset({"food"}) if who.startswith("contact") else frozenset()
    return customer(recipient, companies, its, duties)


def in_lane(who: str, ruling: Ruling) -> bool:
    """A contact person's duties are `food`; anything else is outside."""
    group = "power" if who == "contact_private" else "food"
    return ruling.product_groups is None or group in ruling.product_groups


@pytest.mark.parametrize(
    ("who", "relation", "kind", "channel", "rule"), ROWS, ids=[" ".join(r) for r in ROWS]
)
def test_a_row(who: str, relation: str, kind: str, channel: str, rule: str) -> None:
    _check_row(RULES, who, relation, kind, Channel(channel), rule)


@pytest.mark.parametrize("line", PROSPECTS.strip().splitlines())
def test_a_row_for_prospects_where_that_is_switched_on(line: str) -> None:
    who, kind, channel, rule = line.split()
    _check_row(
        Rules.shipped({Judgement.MARKETING_TO_PROSPECTS: True}), who, "prospect", kind, Channel(channel), rule
    )


def _check_row(rules: Rules, who: str, relation: str, kind: str, channel: Channel, rule: str) -> None:
    partner = None if kind == "own" else "matkat"
    mode = {"own": None, "we_send": Mode.WE_SEND, "sends": Mode.PARTNER_SENDS}[kind]
    anna, buyer = someone(who, relation), someone(who, relation, seller="kauppa")

    def allowed(about: CustomerFacts, *said: Act) -> bool:
        decisions = [
            consent(about, partner=partner) if act is Act.CONSENT else say(act, about) for act in said
        ]
        ruling = asked(about, *decisions, channel=channel, partner=partner, mode=mode, rules=rules)
        assert ruling.allowed == (ruling.product_groups != frozenset())
        assert ruling.section
        return in_lane(who, ruling)

    assert allowed(anna) == (rule == "OO")
    assert allowed(buyer) == (rule in ("OO", "SO"))
    assert allowed(anna, Act.CONSENT) == (rule != "-")
    for no in (Act.BAN, Act.OBJECTION, Act.WITHDRAWAL):
        assert not allowed(buyer, no, Act.CONSENT), "a consent that does not cite the restriction"
    assert allowed(anna, Act.OPT_OUT) == (rule == "OO" and kind == "own")


class TestSoftOptIn:
    """917/2014 section 200(3)."""

    def test_holds_for_the_product_group_that_was_sold(self) -> None:
        ruling = asked(customer(its_points=points(sales=(sale(product_group="food"),))))
        assert ruling.product_groups == frozenset({"food"})
        assert ruling.reason is RulingReason.SALE
        assert ruling.sales[0].product_group == "food"

    @pytest.mark.parametrize(
        "unfit",
        [sale("sahko"), sale(ban_offered=False), sale(product_group="")],
        ids=["seller", "ban", "group"],
    )
    def test_with_anything_missing_consent_is_needed(self, unfit: SaleFacts) -> None:
        ruling = asked(customer(its_points=points(sales=(unfit,))))
        assert ruling.reason is RulingReason.NO_CONSENT

    def test_another_company_of_the_group_is_not_the_same_seller_unless_so_judged(self) -> None:
        buyer = customer(companies=("kauppa", "sahko"), its_points=points(sales=(sale("kauppa"),)))
        assert not asked(buyer, company="sahko").allowed
        same_seller = Rules.shipped({Judgement.GROUP_IS_SAME_SELLER: True})
        assert asked(buyer, company="sahko", rules=same_seller).product_groups == frozenset({"food"})

    def test_adds_to_consent(self) -> None:
        buyer = customer(its_points=points(sales=(sale(product_group="food"),)))
        said = consent(buyer, product_groups=["power"])
        ruling = asked(buyer, said)
        assert ruling.product_groups == frozenset({"food", "power"})
        assert ruling.decisions == (said.id,)


class TestConsent:
    def test_holds_for_the_product_groups_and_channels_that_it_names(self) -> None:
        anna = customer()
        said = consent(anna, [Channel.EMAIL], product_groups=["food"])
        assert asked(anna, said).product_groups == frozenset({"food"})
        assert asked(anna, said, channel=Channel.SMS).reason is RulingReason.NO_CONSENT

    def test_names_the_partner(self) -> None:
        anna = customer()
        said = consent(anna, partner="matkat")
        assert asked(anna, said, partner="matkat").allowed
        assert not asked(anna, said, partner="pankki").allowed

    def test_to_marketing_is_none_to_disclosure(self) -> None:
        """Two different acts: we send, or the partner gets the data."""
        anna = customer()
        said = consent(anna, partner="matkat", purposes=[Purpose.PARTNER_MARKETING])
        assert asked(anna, said, partner="matkat", mode=Mode.WE_SEND).allowed
        assert not asked(anna, said, partner="matkat", mode=Mode.PARTNER_SENDS).allowed

    def test_to_one_company_is_none_to_another(self) -> None:
        anna = customer(companies=("kauppa", "sahko"))
        assert not asked(anna, consent(anna, company="sahko")).allowed


def test_a_partner_is_asked_only_of_companies_that_have_it() -> None:
    anna = customer(companies=("kauppa", "sahko"))
    found = {(c.company, c.partner) for c in rulings(anna) if c.partner}
    assert found == {("kauppa", "matkat"), ("kauppa", "pankki"), ("sahko", "matkat")}
