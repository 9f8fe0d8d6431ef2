"""Hypothesis worlds: the model equals the naive reference, and makes no late yes."""

from dataclasses import replace
from uuid import UUID

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kielto.events.words import Act, Status
from services.consents.model.check import check
from tests.unit.consents_model import properties as hold
from tests.unit.consents_model.world import (
    ANNA,
    BERTTA,
    GROUP,
    PEOPLE,
    ModelWorld,
    decisions,
    make_others_decision,
    make_others_word,
    make_restricting_fact,
    merge,
    seeded,
    worlds,
)

# Explaining a failure traces every line, which takes minutes here; shrinking says enough.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
bounded = settings(max_examples=120, deadline=None, phases=PHASES)
NOS = tuple(a for a in Act if a.restricts)
LATEST = UUID(int=2000)


@settings(max_examples=200, deadline=None, phases=PHASES)
@given(worlds())
def test_the_model_equals_the_naive_reference_and_explains_itself(world: ModelWorld) -> None:
    hold.agrees_with_reference(world)
    hold.explains_itself(world)


@bounded
@given(worlds(), st.data())
def test_a_further_restriction_allows_nothing_new(world: ModelWorld, data: st.DataObject) -> None:
    told = world.told(data.draw(decisions(LATEST, NOS)))
    hold.never_allows_more(world.everything_allowed(), told.everything_allowed())


@bounded
@given(worlds(), st.sampled_from(PEOPLE), st.data())
def test_a_restricting_fact_allows_nothing_new(world: ModelWorld, who: UUID, data: st.DataObject) -> None:
    changed = world.changed(data.draw(seeded(make_restricting_fact, world.customer(who))))
    hold.never_allows_more(world.everything_allowed(), changed.everything_allowed())


@bounded
@given(worlds(), st.sampled_from(PEOPLE), st.sampled_from(GROUP.companies), st.data())
def test_what_a_company_states_is_nothing_to_the_others(
    world: ModelWorld, who: UUID, company: str, data: st.DataObject
) -> None:
    stated = data.draw(seeded(make_others_word, world.customer(who), company))
    hold.another_companys_word_changes_nothing(world, world.changed(stated), company)


@bounded
@given(worlds(), st.sampled_from(GROUP.companies), st.data())
def test_what_a_company_brings_loosens_nothing_at_the_others(
    world: ModelWorld, company: str, data: st.DataObject
) -> None:
    said = data.draw(seeded(make_others_decision, LATEST, company))
    hold.another_companys_decision_loosens_nothing(world, world.told(said), company)


@bounded
@given(worlds())
def test_what_an_uncited_restriction_covers_is_never_allowed(world: ModelWorld) -> None:
    hold.uncited_restrictions_hold(world)


@bounded
@given(worlds(), st.booleans())
def test_a_merge_allows_nothing_that_either_had_banned(world: ModelWorld, moved: bool) -> None:
    before = apart(world)
    hold.merge_keeps_bans(before, merge(before, ANNA, BERTTA, moved), ANNA, BERTTA)


@bounded
@given(worlds(), st.data())
def test_order_and_repeats_change_nothing(world: ModelWorld, data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(world.decisions), max_size=3)) if world.decisions else []
    decided = data.draw(st.permutations((*world.decisions, *again)))
    known = data.draw(st.permutations(world.customers))
    hold.order_and_repeats_change_nothing(world, ModelWorld(tuple(known), tuple(decided)))


@bounded
@given(worlds())
def test_what_is_generated_could_be_taken(world: ModelWorld) -> None:
    """But for a yes that somebody else says: the model has to ignore those by itself."""
    for decision in world.decisions:
        if decision.is_no or decision.is_yes:
            check(decision, GROUP)


def apart(world: ModelWorld) -> ModelWorld:
    """The same world before the two were merged into anybody. Without links."""
    for ident in (ANNA, BERTTA):
        world = world.changed(replace(world.customer(ident), alias_of=None, status=Status.LIVE))
    return replace(world, customers=tuple(replace(c, bound_by=()) for c in world.customers))
