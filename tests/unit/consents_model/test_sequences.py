"""Sequences: decisions, newer facts, merges, repeats and reorderings, one after another; checked after every step."""

from dataclasses import replace
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kielto.events.words import Act, Status
from tests.unit.consents_model import properties as hold
from tests.unit.consents_model.test_properties import NOS, PHASES
from tests.unit.consents_model.world import (
    ANNA,
    BERTTA,
    DECISION_IDS,
    PEOPLE,
    USER,
    ModelWorld,
    decisions,
    make_customer,
    make_other_facts,
    make_restricting_fact,
    merge,
    seeded,
)

YESES = tuple(a for a in Act if not a.restricts)
PERSONS = (ANNA, BERTTA, USER)


class Sequences(RuleBasedStateMachine):
    """What the services do to the model over time."""

    world: ModelWorld

    @initialize(data=st.data())
    def register(self, data: st.DataObject) -> None:
        self.world = ModelWorld(tuple(data.draw(seeded(make_customer, ident)) for ident in PEOPLE))

    def _free(self) -> list[UUID]:
        return [i for i in DECISION_IDS if i not in {d.id for d in self.world.decisions}]

    @precondition(lambda self: self._free())
    @rule(data=st.data())
    def say_no(self, data: st.DataObject) -> None:
        before = self.world.everything_allowed()
        self.world = self.world.told(data.draw(decisions(data.draw(st.sampled_from(self._free())), NOS)))
        hold.never_allows_more(before, self.world.everything_allowed())

    @precondition(lambda self: self._free())
    @rule(data=st.data())
    def say_yes(self, data: st.DataObject) -> None:
        """Perhaps before the restriction that it cites."""
        before = self.world.everything_allowed()
        self.world = self.world.told(data.draw(decisions(data.draw(st.sampled_from(self._free())), YESES)))
        hold.never_allows_more(self.world.everything_allowed(), before)

    @rule(data=st.data(), who=st.sampled_from(PEOPLE))
    def learn(self, data: st.DataObject, who: UUID) -> None:
        self.world = self.world.changed(data.draw(seeded(make_other_facts, self.world.customer(who))))

    @rule(data=st.data(), who=st.sampled_from(PEOPLE))
    def learn_a_restricting_fact(self, data: st.DataObject, who: UUID) -> None:
        before = self.world.everything_allowed()
        self.world = self.world.changed(data.draw(seeded(make_restricting_fact, self.world.customer(who))))
        hold.never_allows_more(before, self.world.everything_allowed())

    @rule(pair=st.permutations(PERSONS), moved=st.booleans())
    def merge(self, pair: list[UUID], moved: bool) -> None:
        kept, gone = pair[:2]
        if any(self.world.customer(i).status is not Status.LIVE for i in (kept, gone)):
            return
        before, self.world = self.world, merge(self.world, kept, gone, moved)
        hold.merge_keeps_bans(before, self.world, kept, gone)

    @rule(data=st.data())
    def repeat_and_reorder(self, data: st.DataObject) -> None:
        before, known = self.world, self.world.decisions
        again = known[: data.draw(st.integers(0, len(known)))]
        shuffled = data.draw(st.permutations((*known, *again)))
        hold.order_and_repeats_change_nothing(before, replace(before, decisions=tuple(shuffled)))

    @invariant()
    def agrees(self) -> None:
        hold.agrees_with_reference(self.world)
        hold.uncited_restrictions_hold(self.world)


TestSequences = Sequences.TestCase
TestSequences.settings = settings(max_examples=20, stateful_step_count=20, deadline=None, phases=PHASES)
