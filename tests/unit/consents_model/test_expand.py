"""What a bare act covers, by how it came in."""

import pytest

from kielto.events.words import Act, Channel, Purpose, Reach
from services.consents.model.check import DecisionError
from services.consents.model.decisions import Route
from services.consents.model.scope import Scope, expand
from tests.unit.consents_model.said import RULES

ALL = frozenset(Channel)
PARTNERS = frozenset({Purpose.PARTNER_MARKETING, Purpose.DISCLOSURE})
MARKETING = frozenset({Purpose.OWN_MARKETING, Purpose.PROFILING, *PARTNERS})


@pytest.mark.parametrize("route", list(Route))
def test_a_bare_ban_is_all_direct_marketing_of_the_whole_group(route: Route) -> None:
    narrow = {Route.SMS_STOP: Channel.SMS, Route.ONE_CLICK: Channel.EMAIL}
    channels = frozenset({narrow[route]}) if route in narrow else ALL
    everything = MARKETING | {Purpose.RESEARCH}
    assert expand(RULES, route, Act.BAN) == Scope(Reach.GROUP, None, None, everything, channels)


@pytest.mark.parametrize("act", [Act.OBJECTION, Act.WITHDRAWAL])
def test_an_objection_to_marketing_is_none_to_research(act: Act) -> None:
    assert expand(RULES, Route.LETTER, act) == Scope(Reach.GROUP, None, None, MARKETING, ALL)


def test_a_bare_opt_out_is_all_partners() -> None:
    assert expand(RULES, Route.SHOP, Act.OPT_OUT) == Scope(Reach.PARTNERS, None, None, PARTNERS, ALL)


def test_a_named_partner_limits_it() -> None:
    wanted = Scope(Reach.PARTNER, None, "matkat", PARTNERS, ALL)
    assert expand(RULES, Route.SHOP, Act.OPT_OUT, partner="matkat") == wanted
    assert expand(RULES, Route.SHOP, Act.BAN, partner="matkat") == wanted


def test_what_is_given_stands() -> None:
    given = expand(
        RULES,
        Route.PHONE,
        Act.BAN,
        Reach.COMPANY,
        "kauppa",
        purposes=[Purpose.OWN_MARKETING],
        channels=[Channel.PHONE],
    )
    wanted = Scope(
        Reach.COMPANY, "kauppa", None, frozenset({Purpose.OWN_MARKETING}), frozenset({Channel.PHONE})
    )
    assert given == wanted


def test_a_company_without_a_reach_is_not_guessed_about() -> None:
    with pytest.raises(DecisionError, match="reach: "):
        expand(RULES, Route.PHONE, Act.BAN, company="kauppa")


def test_a_bare_lifting_is_all_of_what_it_cites() -> None:
    wanted = Scope(Reach.GROUP, None, None, MARKETING | {Purpose.RESEARCH}, ALL)
    assert expand(RULES, Route.SELF_SERVICE, Act.LIFTING) == wanted


@pytest.mark.parametrize(
    "route", [Route.SMS_STOP, Route.ONE_CLICK, Route.SPAM_COMPLAINT, Route.PARTNER, Route.IMPORT]
)
@pytest.mark.parametrize("act", [Act.CONSENT, Act.LIFTING])
def test_a_yes_does_not_come_by_every_route(route: Route, act: Act) -> None:
    with pytest.raises(DecisionError, match="route: "):
        expand(RULES, route, act)


@pytest.mark.parametrize(
    ("reach", "purposes", "channels", "field"),
    [
        (None, [Purpose.OWN_MARKETING], [Channel.EMAIL], "reach"),
        (Reach.GROUP, [], [Channel.EMAIL], "purposes"),
        (Reach.GROUP, [Purpose.OWN_MARKETING], [], "channels"),
    ],
)
def test_a_consent_says_all_for_itself(
    reach: Reach | None, purposes: list[Purpose], channels: list[Channel], field: str
) -> None:
    with pytest.raises(DecisionError, match=f"{field}: "):
        expand(RULES, Route.SHOP, Act.CONSENT, reach, purposes=purposes, channels=channels)
