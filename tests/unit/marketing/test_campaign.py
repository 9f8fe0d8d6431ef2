"""What makes a campaign impossible, and how its states follow one another."""

import pytest

from kielto.events.words import Channel, Mode, Purpose
from kielto.group import Company, Controller, Group, Partner
from services.marketing.model import campaign
from services.marketing.model.campaign import Aim, CampaignState, StateConflictError, faults

GROUP = Group(
    revision=1,
    controller=Controller(name="x", business_id="9912345-6", contact="x"),
    companies=(
        Company(id="kauppa", name="Kauppa", product_groups=("groceries",)),
        Company(id="sahko", name="Sahko", product_groups=("solar",)),
    ),
    partners=(Partner(id="matkat", name="Matkat", of=("kauppa",)),),
)
OWN, PARTNER = Purpose.OWN_MARKETING, Purpose.PARTNER_MARKETING


@pytest.mark.parametrize(
    "aim",
    [
        Aim("kauppa", OWN, Channel.EMAIL, "groceries"),
        Aim("kauppa", PARTNER, Channel.POST, None, "matkat", Mode.WE_SEND),
        Aim("kauppa", PARTNER, Channel.PHONE, "groceries", "matkat", Mode.PARTNER_SENDS),
    ],
)
def test_nothing_is_wrong(aim: Aim) -> None:
    assert faults(aim, GROUP) == []


@pytest.mark.parametrize(
    ("aim", "fields"),
    [
        (Aim("nobody", OWN, Channel.EMAIL, "groceries"), ["company"]),
        (Aim("kauppa", OWN, Channel.EMAIL), ["product_group"]),
        (Aim("kauppa", OWN, Channel.EMAIL, "solar"), ["product_group"]),
        (
            Aim("kauppa", OWN, Channel.EMAIL, "groceries", "matkat", Mode.WE_SEND),
            ["partner", "mode"],
        ),
        (Aim("kauppa", PARTNER, Channel.EMAIL, None, "nobody", Mode.WE_SEND), ["partner"]),
        (Aim("kauppa", PARTNER, Channel.EMAIL), ["partner", "mode"]),
        (Aim("sahko", PARTNER, Channel.EMAIL, None, "matkat", Mode.WE_SEND), ["partner"]),
        (Aim("kauppa", PARTNER, Channel.EMAIL, "solar", "matkat"), ["product_group", "mode"]),
        (Aim("kauppa", Purpose.RESEARCH, Channel.EMAIL, "groceries"), ["purpose"]),
    ],
)
def test_each_fault_names_its_field(aim: Aim, fields: list[str]) -> None:
    assert [fault.field for fault in faults(aim, GROUP)] == fields


def test_the_party_is_who_sends() -> None:
    we = Aim("kauppa", PARTNER, Channel.POST, None, "matkat", Mode.WE_SEND)
    they = Aim("kauppa", PARTNER, Channel.POST, None, "matkat", Mode.PARTNER_SENDS)
    own = Aim("kauppa", OWN, Channel.POST, "groceries")
    assert [aim.party for aim in (we, they, own)] == ["company.kauppa", "partner.matkat", "company.kauppa"]
    assert [aim.discloses for aim in (we, they, own)] == [False, True, False]


def test_a_launch_leads_forward_only() -> None:
    assert campaign.launch(CampaignState.OPEN) is CampaignState.LAUNCHING
    assert campaign.launch(CampaignState.LAUNCHING) is CampaignState.LAUNCHING
    assert campaign.launch(CampaignState.LAUNCHED) is CampaignState.LAUNCHED
    with pytest.raises(StateConflictError):
        campaign.launch(CampaignState.CLOSED)
