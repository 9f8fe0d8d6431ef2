"""What can be taken at all: each refusal names its field and rule."""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from kielto.events.words import Act, Channel, Purpose, Reach
from services.consents.model.check import DecisionError, check
from services.consents.model.decisions import (
    Actor,
    CustomerSubject,
    NumberSubject,
    PointSubject,
    RecordedDecision,
)
from tests.unit.consents_model.said import GROUP, consent, customer, say

ANNA = CustomerSubject(UUID(int=1))
BAN = say(Act.BAN, ANNA)
CONSENT = consent(ANNA)
NAMED = consent(ANNA, partner="matkat")
LIFTING = say(Act.LIFTING, ANNA, [BAN])
OWN = frozenset({Purpose.OWN_MARKETING})


@pytest.mark.parametrize(
    "decision", [BAN, CONSENT, NAMED, LIFTING, say(Act.OPT_OUT, ANNA)], ids=lambda d: d.act
)
def test_a_sound_one_is_taken(decision: RecordedDecision) -> None:
    check(decision, GROUP)


@pytest.mark.parametrize("by", list(Actor))
def test_a_no_is_never_refused_for_who_brings_it_or_for_being_unknown(by: Actor) -> None:
    for subject in (CustomerSubject(UUID(int=404)), NumberSubject("kauppa", b"?"), PointSubject(b"?")):
        check(replace(BAN, subject=subject, by=by), GROUP)
    check(replace(BAN, purposes=frozenset(), channels=frozenset()), GROUP)


def test_a_lifting_may_cite_what_is_not_yet_known() -> None:
    check(replace(LIFTING, lifts=frozenset({UUID(int=404)})), GROUP)


REFUSED: list[tuple[RecordedDecision, dict[str, Any], str]] = [
    (BAN, {"reach": Reach.COMPANY, "company": "unknown"}, "company"),
    (BAN, {"reach": Reach.COMPANY}, "company"),
    (BAN, {"company": "kauppa"}, "company"),
    (BAN, {"reach": Reach.PARTNER, "partner": "unknown"}, "partner"),
    (BAN, {"reach": Reach.PARTNER}, "partner"),
    (BAN, {"partner": "matkat"}, "partner"),
    (BAN, {"reach": Reach.PARTNERS, "purposes": OWN}, "purposes"),
    (BAN, {"subject": NumberSubject("unknown", b"1")}, "subject.company"),
    (BAN, {"lifts": frozenset({UUID(int=9)})}, "lifts"),
    (BAN, {"product_groups": frozenset({"food"})}, "product_groups"),
    (BAN, {"said_at": datetime(2026, 1, 1)}, "said_at"),  # noqa: DTZ001
    (LIFTING, {"lifts": frozenset()}, "lifts"),
    (LIFTING, {"lifts": frozenset({LIFTING.id})}, "lifts"),
    (LIFTING, {"product_groups": frozenset({"food"})}, "product_groups"),
    (LIFTING, {"by": Actor.STAFF}, "by"),
    (CONSENT, {"by": Actor.AGENT}, "by"),
    (CONSENT, {"by": Actor.IMPORT}, "by"),
    (CONSENT, {"purposes": frozenset()}, "purposes"),
    (CONSENT, {"channels": frozenset()}, "channels"),
    (CONSENT, {"purposes": frozenset({Purpose.PARTNER_MARKETING})}, "partner"),
    (NAMED, {"reach": Reach.PARTNERS, "partner": None}, "partner"),
    (NAMED, {"partner": "pankki", "company": "sahko"}, "partner"),
]


@pytest.mark.parametrize(("sound", "change", "field"), REFUSED)
def test_refused(sound: RecordedDecision, change: dict[str, Any], field: str) -> None:
    with pytest.raises(DecisionError) as caught:
        check(replace(sound, **change), GROUP)
    assert caught.value.field == field
    assert str(caught.value) == f"{field}: {caught.value.rule}"


def test_an_error_repeats_nothing_personal() -> None:
    anna = customer()
    said = replace(consent(anna, [Channel.EMAIL]), by=Actor.STAFF, product_groups=frozenset({"secret"}))
    with pytest.raises(DecisionError) as caught:
        check(said, GROUP)
    assert str(anna.id) not in str(caught.value)
    assert "secret" not in str(caught.value)
