"""The properties can fail: each planted bug is caught by the property that is named beside it."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from services.consents.model import applicable, coverage, evaluate
from services.consents.model.applicable import LIFTED_BY, ApplicableDecision, ApplicableDecisions, Voice
from services.consents.model.decisions import RecordedDecision
from services.consents.model.facts import CustomerFacts, Person, PointFacts
from services.consents.model.rules import Rules
from services.consents.model.rules_file import Judgement
from services.consents.model.ruling import Cell
from tests.unit.consents_model import properties as hold
from tests.unit.consents_model.test_properties import LATEST, NOS, apart
from tests.unit.consents_model.world import (
    ANNA,
    BERTTA,
    GROUP,
    RULES,
    ModelWorld,
    decisions,
    make_others_word,
    merge,
    worlds,
)

SIZE = 800
Case = tuple[ModelWorld, RecordedDecision, bool]
Property = Callable[[Case], None]


def reference(case: Case) -> None:
    hold.agrees_with_reference(case[0])


def uncited(case: Case) -> None:
    hold.uncited_restrictions_hold(case[0])


def monotone(case: Case) -> None:
    world, no, _ = case
    hold.never_allows_more(world.everything_allowed(), world.told(no).everything_allowed())


def merging(case: Case) -> None:
    world = apart(case[0])
    hold.merge_keeps_bans(world, merge(world, ANNA, BERTTA, case[2]), ANNA, BERTTA)


def ordering(case: Case) -> None:
    world = case[0]
    hold.order_and_repeats_change_nothing(world, replace(world, decisions=world.decisions[::-1]))


def apart_by_company(case: Case) -> None:
    """Each company's word about everybody, said anew from the case's own seed."""
    world, no, _ = case
    rng = Random(no.said_at.toordinal() + len(world.decisions))
    for company in GROUP.companies:
        for customer in world.customers:
            stated = make_others_word(rng, customer, company)
            hold.another_companys_word_changes_nothing(world, world.changed(stated), company)


Plant = Callable[[pytest.MonkeyPatch], None]
PLANTED: list[tuple[str, Property, Plant]] = []


def planted(caught_by: Property) -> Callable[[Plant], Plant]:
    def keep(plant: Plant) -> Plant:
        PLANTED.append((plant.__name__, caught_by, plant))
        return plant

    return keep


@planted(uncited)
def a_yes_lifts_what_it_does_not_cite(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(applicable, "_cited_by", lambda no, yeses: tuple(yeses))


@planted(uncited)
def the_newest_by_the_clock_wins(patch: pytest.MonkeyPatch) -> None:
    def newer(no: ApplicableDecision, yeses: list[ApplicableDecision]) -> tuple[ApplicableDecision, ...]:
        return tuple(y for y in yeses if y.decision.said_at > no.decision.said_at)

    patch.setattr(applicable, "_cited_by", newer)


@planted(reference)
def a_narrow_yes_lifts_all_of_a_broad_no(patch: pytest.MonkeyPatch) -> None:
    def all_of_it(no: ApplicableDecision, cited_by: tuple[ApplicableDecision, ...], cell: Cell) -> Any:
        return (None, ()) if cited_by else (frozenset(), ())

    patch.setattr(coverage, "_lifted", all_of_it)


@planted(reference)
def anybody_says_yes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RecordedDecision, "is_yes", property(lambda d: not d.is_no))


@planted(reference)
def an_address_lifts_what_the_person_banned(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(LIFTED_BY, Voice.OWN, (Voice.OWN, Voice.POINT))


@planted(reference)
def a_contact_person_lifts_the_organisations_ban(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(LIFTED_BY, Voice.EMPLOYER, (Voice.OWN, Voice.EMPLOYER))


def _without_members(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda person, *rest: function(replace(person, members=()), *rest)


@planted(merging)
def a_merge_forgets_what_the_absorbed_banned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(applicable, "_voice", _without_members(applicable._voice))


@planted(reference)
def a_merge_carries_consent_to_other_addresses(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(applicable, "_granted_at", lambda person, found: found.at)


@planted(reference)
def a_merge_forgets_that_the_absorbed_has_died(patch: pytest.MonkeyPatch) -> None:
    blocks = Rules.blocks
    patch.setattr(Rules, "blocks", lambda rules, person: blocks(rules, replace(person, members=())))


@planted(ordering)
def the_last_to_arrive_wins(patch: pytest.MonkeyPatch) -> None:
    hear = applicable.select_applicable

    def latest(person: Person, decisions: Any, rules: Rules) -> ApplicableDecisions:
        return hear(person, tuple(decisions)[-2:], rules)

    patch.setattr(evaluate, "select_applicable", latest)


@planted(monotone)
def a_new_no_replaces_the_old_one(patch: pytest.MonkeyPatch) -> None:
    hear = applicable.select_applicable

    def replaced(person: Person, decisions: Any, rules: Rules) -> ApplicableDecisions:
        heard = hear(person, decisions, rules)
        return heard._replace(restrictions=heard.restrictions[-1:])

    patch.setattr(evaluate, "select_applicable", replaced)


@planted(reference)
def an_ended_customer_number_says_yes(patch: pytest.MonkeyPatch) -> None:
    is_about = applicable._is_about

    def had(customer: CustomerFacts, decision: RecordedDecision, **_: bool) -> bool:
        ended = replace(
            customer, customerships=tuple(replace(c, active=True) for c in customer.customerships)
        )
        return is_about(ended, decision)

    patch.setattr(applicable, "_is_about", had)


@planted(reference)
def a_sister_companys_sale_counts(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(RULES.switches, Judgement.GROUP_IS_SAME_SELLER, True)


@planted(reference)
def consent_to_marketing_is_consent_to_disclosure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(coverage, "purposes_of", lambda cell: (cell.purpose,))


@planted(reference)
def a_companys_word_counts_for_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Person, "seen_by", lambda person, company: person)


@planted(apart_by_company)
def a_companys_address_is_everybodys(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PointFacts, "seen_by", lambda point, company: point)


@planted(reference)
def a_consent_travels_over_a_link(patch: pytest.MonkeyPatch) -> None:
    found = applicable._applicable
    patch.setattr(
        applicable, "_applicable", lambda *given: (h := found(*given)) and h._replace(via=frozenset())
    )


@planted(reference)
def a_no_does_not_travel_over_a_link(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(applicable, "_via", lambda others, decision: frozenset())


@planted(reference)
def anybodys_yes_lifts_what_came_over_a_link(patch: pytest.MonkeyPatch) -> None:
    cited_by = applicable._cited_by

    def whoever(no: ApplicableDecision, yeses: list[ApplicableDecision]) -> tuple[ApplicableDecision, ...]:
        return cited_by(no, [y._replace(via=y.via & no.via) for y in yeses])

    patch.setattr(applicable, "_cited_by", whoever)


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """The same every time: one corpus, drawn once, on which each bug is tried."""
    drawn: list[Case] = []

    @settings(
        max_examples=SIZE,
        deadline=None,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.tuples(worlds(), decisions(LATEST, NOS), st.booleans()))
    def draw(case: Case) -> None:
        drawn.append(case)

    draw()
    return drawn


@pytest.mark.parametrize("holds", [reference, uncited, monotone, merging, ordering, apart_by_company])
def test_without_a_bug_all_holds(holds: Property, cases: list[Case]) -> None:
    assert not any(_fails(holds, case) for case in cases[:100])


@pytest.mark.parametrize(("caught_by", "plant"), [p[1:] for p in PLANTED], ids=[p[0] for p in PLANTED])
def test_a_planted_bug_is_caught(
    caught_by: Property, plant: Plant, cases: list[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert any(_fails(caught_by, case) for case in cases)


def _fails(holds: Property, case: Case) -> bool:
    try:
        holds(case)
    except AssertionError:
        return True
    return False
