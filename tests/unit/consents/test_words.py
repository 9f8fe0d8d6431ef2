"""What is read back is what is done: the channels in the words are those on which something ends, and no other."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from uuid import UUID, uuid4

import pytest

from kielto.events.words import CHANNELS_OF, Act, Channel, PointKind, Purpose, Reach
from services.consents.model.decisions import (
    Actor,
    CustomerSubject,
    NumberSubject,
    PointSubject,
    RecordedDecision,
    Route,
    Subject,
)
from services.consents.model.facts import CustomerFacts
from services.consents.model.scope import NOT_OF_THE_ADDRESS, expand, widen_to_address
from services.consents.use_cases.decisions.words import in_words
from tests.unit.consents_model.said import NOW as SAID
from tests.unit.consents_model.said import RULES, consent, customer, rulings

NOW = datetime(2026, 1, 2, tzinfo=UTC)
BAN = RecordedDecision(
    id=uuid4(),
    subject=CustomerSubject(UUID(int=1)),
    act=Act.BAN,
    reach=Reach.GROUP,
    company=None,
    partner=None,
    purposes=frozenset(),
    channels=frozenset(),
    by=Actor.PERSON,
    route=Route.PHONE,
    said_at=NOW,
    received_at=NOW,
    effective_from=NOW,
)


ALL_RECORDS = " It binds all records of this person in the group."


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {},
            "No more direct marketing on any channel, from any company of the group and any of its partners."
            + ALL_RECORDS,
        ),
        (
            {"reach": Reach.COMPANY, "company": "a", "channels": frozenset({Channel.SMS, Channel.EMAIL})},
            "No more direct marketing by email, sms, from company a.",
        ),
        (
            {"act": Act.OPT_OUT, "reach": Reach.PARTNERS, "purposes": frozenset({Purpose.PARTNER_MARKETING})},
            "No more partner marketing on any channel, for all partners, through any company of the group.",
        ),
        (
            {
                "act": Act.CONSENT,
                "reach": Reach.PARTNER,
                "partner": "p",
                "company": "a",
                "purposes": frozenset({Purpose.DISCLOSURE}),
                "channels": frozenset({Channel.POST}),
                "product_groups": frozenset({"g"}),
            },
            "Consent given: disclosure (only g) by post, for partner p, through company a.",
        ),
    ],
)
def test_a_decision_is_read_back_in_words(changed: dict, words: str) -> None:  # type: ignore[type-arg]
    assert in_words(replace(BAN, **changed), "number") == words


WHO = customer(companies=("kauppa",))
KINDS: dict[str, Subject] = {
    "customer": CustomerSubject(WHO.id),
    "number": NumberSubject("kauppa", WHO.customerships[0].ref),
    "email": PointSubject(b"email of anna"),
    "phone": PointSubject(b"phone of anna"),
}
REACHED = (Channel.EMAIL, Channel.SMS, Channel.PHONE, Channel.POST)


def allowed(who: CustomerFacts, *said: RecordedDecision) -> set[Channel]:
    """Where the company may, once they consented to everything."""
    everything = consent(who), consent(who, partner="matkat")
    return {cell.channel for cell, ruling in rulings(who, *everything, *said).items() if ruling.allowed}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("act", [act for act in Act if act.restricts])
def test_the_words_of_a_no_say_what_it_ends(act: Act, kind: str) -> None:
    before = allowed(WHO)
    assert before == set(REACHED)
    for route, given in product(Route, [(), (Channel.SMS,), (Channel.POST, Channel.EMAIL)]):
        scope = expand(RULES, route, act, Reach.GROUP, channels=given)
        widened: tuple[str, ...] = ()
        if kind in ("email", "phone"):
            scope, widened = widen_to_address(scope, PointKind(kind))
        no = RecordedDecision(
            uuid4(), KINDS[kind], act, scope.reach, None, None, scope.purposes, scope.channels,
            Actor.PERSON, route, SAID, SAID, SAID, widened=widened,
        )  # fmt: skip
        ends = before - allowed(WHO, no) if act is not Act.OPT_OUT else _for_partners(no)
        words = in_words(no, kind)
        told = set(REACHED) if "on any channel" in words else {c for c in REACHED if _names(words, c)}
        assert told == ends, (route, given, words)
        assert ends, "a no ends something"
        assert ("to this" in words) == (kind in ("email", "phone"))
        assert ("all records of this person" in words) == (kind in ("customer", "number"))


def _for_partners(no: RecordedDecision) -> set[Channel]:
    yes = consent(WHO, partner="matkat")
    before, after = (
        {c.channel for c, r in rulings(WHO, yes, *said).items() if c.partner and r.allowed}
        for said in ((), (no,))
    )
    return before - after


def _names(words: str, channel: Channel) -> bool:
    """In the list after `by`; the word `phone` is in no other."""
    listed = words.partition(" by ")[2].partition(" to this")[0].partition(", from")[0].partition(", for")[0]
    return channel.replace("_", " ") in listed.split(", ")


@pytest.mark.parametrize("kind", [PointKind.EMAIL, PointKind.PHONE])
def test_channels_of_another_kind_of_address_are_widened_to_its_own(kind: PointKind) -> None:
    scope = expand(RULES, Route.PHONE, Act.BAN, channels=(Channel.POST,))
    wide, broken = widen_to_address(scope, kind)
    assert wide.channels == {Channel.POST, *CHANNELS_OF[kind]}
    assert broken == (NOT_OF_THE_ADDRESS,)
    assert widen_to_address(wide, kind) == (wide, ())


def test_a_yes_that_allows_nothing_says_so() -> None:
    yes = replace(BAN, act=Act.CONSENT, purposes=frozenset({Purpose.OWN_MARKETING}))
    assert "allows nothing now" in in_words(yes, "email", effective=False)
    assert "allows nothing now" not in in_words(yes, "customer")
