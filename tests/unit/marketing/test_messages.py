"""What a party is told, and what our own services are told."""

from datetime import UTC, datetime
from uuid import UUID

from kielto.events.messages import Report
from kielto.events.words import Channel, Mode, Purpose
from services.marketing.model.campaign import Aim
from services.marketing.model.messages import audience, disclosure, reported

AT = datetime(2026, 1, 2, tzinfo=UTC)
CAMPAIGN, CUSTOMER, REPORT = UUID(int=1), UUID(int=2), UUID(int=3)
OWN = Aim("kauppa", Purpose.OWN_MARKETING, Channel.EMAIL, "groceries")
THEIRS = Aim("kauppa", Purpose.PARTNER_MARKETING, Channel.POST, None, "matkat", Mode.PARTNER_SENDS)
SUBJECT, ADDRESS, OTHER = "a" * 64, "b" * 64, "c" * 64


def test_an_address_names_exactly_what_is_permitted() -> None:
    message = audience("address", CAMPAIGN, OWN, SUBJECT, [ADDRESS, OTHER, ADDRESS], AT)
    assert [point.point for point in message.points] == [ADDRESS, OTHER]
    (allow,) = message.points[0].allow
    assert (allow.purpose, allow.partner, allow.mode, allow.product_groups) == (
        "own_marketing",
        None,
        None,
        ("groceries",),
    )
    assert (message.subject, message.campaign, message.channel) == (SUBJECT, CAMPAIGN, Channel.EMAIL)


def test_a_recall_permits_nothing() -> None:
    message = audience("recall", CAMPAIGN, OWN, SUBJECT, [ADDRESS], AT)
    assert [(point.point, point.allow) for point in message.points] == [(ADDRESS, ())]


def test_a_disclosure_said_twice_is_one() -> None:
    first, again = disclosure(CAMPAIGN, THEIRS, CUSTOMER, AT), disclosure(CAMPAIGN, THEIRS, CUSTOMER, AT)
    assert first == again
    assert (first.what, first.company, first.partner) == ("disclosure", "kauppa", "matkat")
    assert disclosure(REPORT, THEIRS, CUSTOMER, AT).id != first.id


def test_reports_with_one_id_from_two_parties_are_two() -> None:
    report = Report(
        id=REPORT, what="delivery", campaign=CAMPAIGN, subject=SUBJECT, channel=Channel.EMAIL, at=AT
    )
    one, two = (reported(report, party, OWN, CUSTOMER) for party in ("company.kauppa", "partner.matkat"))
    assert one.id != two.id
    assert (one.what, one.customer, one.campaign) == ("delivery", CUSTOMER, CAMPAIGN)
