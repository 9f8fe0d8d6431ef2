"""A no on a topic is always taken: as it was given when it can be understood, else for the widest that it may mean."""

import json
import secrets
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kielto.events.messages import Decision, DecisionSubject
from kielto.events.words import PARTNERS_PURPOSES, Act, Channel, Purpose, Reach
from kielto.group import Company, Controller, Group, Partner
from kielto.service.database.pool import Pool
from kielto.service.support.crypto_keys import KeyFile, Keys
from services.consents.consumers.decisions import DecisionsConsumer
from services.consents.model import decisions as model
from services.consents.model.check import check
from services.consents.store.permissions.state import LoadedState
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.authorize import authorize
from services.consents.use_cases.decisions.command import build, scope_of
from tests.unit.events.strategies import events

GROUP = Group(
    revision=1,
    controller=Controller(name="x", business_id="9912345-6", contact="x"),
    companies=(
        Company(id="kauppa", name="Kauppa", product_groups=("food",)),
        Company(id="sahko", name="Sahko", product_groups=("food",)),
    ),
    partners=(Partner(id="matkat", name="Matkat", of=("kauppa",)),),
    subscribers=(),
)
KEYS = Keys(
    KeyFile(
        digest_key=secrets.token_hex(64),
        master_key=secrets.token_hex(32),
        index_key=secrets.token_hex(32),
        id_keys={party: secrets.token_hex(32) for party in GROUP.parties},
        point_keys={party: {1: secrets.token_hex(32)} for party in GROUP.parties},
    )
)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
CONTEXT = Context(cast(Pool, None), GROUP, KEYS, lambda: NOW)
OWN = Purpose.OWN_MARKETING
KNOWN = st.sampled_from(["matkat", "nobody", None])


def understood(said: Decision, party: str) -> model.RecordedDecision:
    """As far as it is understood without the register; raises what would refuse it."""
    command = DecisionsConsumer(CONTEXT, party)._command(said, NOW)
    scope, broken = scope_of(CONTEXT, command)
    authorize(command, scope)
    decision = build(command, scope, broken, LoadedState(()), frozenset())
    check(decision, CONTEXT.facts)
    return decision


@given(
    events(Decision), st.sampled_from(GROUP.parties), KNOWN, st.sampled_from([a for a in Act if a.restricts])
)
def test_a_no_is_never_refused(said: Decision, party: str, partner: str | None, act: Act) -> None:
    said = said.model_copy(update={"act": act, "partner": partner, "subject": DecisionSubject(id="a" * 64)})
    decision = understood(said, party)
    sound = _sensible(said) and partner != "nobody" and (party[0] == "c" or said.reach is not Reach.COMPANY)
    assert bool(decision.widened) is not sound
    assert not said.purposes or decision.purposes >= set(said.purposes)
    assert not said.channels or decision.channels == set(said.channels)
    if said.partner == "matkat" and decision.purposes & PARTNERS_PURPOSES:
        assert decision.reaches("kauppa", "matkat")


def _sensible(said: Decision) -> bool:
    """What it claims to lift is passed over."""
    if said.route not in set(model.Route):
        return False
    try:
        said.model_copy(update={"lifts": ()}).must_make_sense()
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        (
            {"reach": Reach.PARTNER, "partner": "nobody"},
            (Reach.PARTNERS, None, {"partner_marketing", "disclosure"}),
        ),
        ({"reach": Reach.PARTNER}, (Reach.PARTNERS, None, {"partner_marketing", "disclosure"})),
        ({"reach": Reach.PARTNERS, "partner": "matkat"}, (Reach.PARTNERS, None, None)),
        ({"reach": Reach.GROUP, "partner": "matkat"}, (Reach.GROUP, None, None)),
        ({"reach": Reach.COMPANY, "partner": "matkat"}, (Reach.GROUP, None, None)),
        (
            {"reach": Reach.PARTNERS, "purposes": (OWN,)},
            (Reach.GROUP, None, {"own_marketing", "partner_marketing", "disclosure"}),
        ),
        (
            {"partner": "nobody", "purposes": (OWN,)},
            (Reach.GROUP, None, {"own_marketing", "partner_marketing", "disclosure"}),
        ),
        (
            {"act": Act.OPT_OUT, "purposes": (OWN,)},
            (Reach.GROUP, None, {"own_marketing", "partner_marketing", "disclosure"}),
        ),
    ],
)
def test_what_cannot_be_understood_is_widened(
    given_: dict[str, Any], wanted: tuple[Reach, str | None, set[str] | None]
) -> None:
    fields = {"id": uuid4(), "subject": DecisionSubject(id="a" * 64), "act": Act.BAN, "said_at": NOW}
    decision = understood(Decision(**(fields | given_)), "company.kauppa")
    reach, partner, purposes = wanted
    assert (decision.reach, decision.company, decision.partner) == (reach, None, partner)
    assert purposes is None or decision.purposes == purposes
    assert decision.channels == set(Channel)
    assert decision.widened


def test_a_company_that_a_partner_does_not_tell_is_every_company() -> None:
    said = Decision(
        id=uuid4(), subject=DecisionSubject(id="a" * 64), act=Act.BAN, said_at=NOW, reach=Reach.COMPANY
    )
    decision = understood(said, "partner.matkat")
    assert (decision.reach, len(decision.widened)) == (Reach.GROUP, 1)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"channels": ["fax"]}, "channels.0: must be one of"),
        ({"said_at": "20261130"}, "said_at: must be a time with a time zone (RFC 3339)"),
        ({"said_at": 20261130}, "said_at: must be a time with a time zone (RFC 3339)"),
        ({"route": "fax"}, "route: must be a route by which decisions come"),
        (
            {"subject": {"point": "a" * 64, "point_kind": "post"}},
            "subject.point_kind: must be email or phone",
        ),
        ({"subject": {"point": "a" * 64, "point_kind": "fax"}}, "subject.point_kind: must be one of"),
        ({"evidence": "x" * 5000}, "evidence: must have at most 2000 characters"),
    ],
)
def test_a_word_that_cannot_be_read_is_the_widest_and_is_told(fields: dict[str, Any], told: str) -> None:
    content = {
        "id": str(uuid4()),
        "act": "ban",
        "subject": {"point": "a" * 64, "point_kind": "email"},
        "said_at": "2026-02-01T10:00:00Z",
    }
    decision = understood(Decision.read(json.dumps(content | fields).encode()), "company.kauppa")
    assert decision.reach is Reach.GROUP
    assert decision.channels == set(Channel)
    assert decision.widened[0].startswith(told)
    assert decision.said_at == (NOW if "said_at" in fields else datetime(2026, 2, 1, 10, tzinfo=UTC))
