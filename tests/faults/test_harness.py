"""The harness itself: the same seed gives the same run, and a verdict finds what is planted in a history."""

from typing import Any

import pytest

from kielto.events.messages import Decision
from tests.faults.command import said
from tests.faults.load import MIXED, NO_PER_SEED, Load
from tests.faults.met import missed
from tests.faults.poison import KINDS, older_ban
from tests.faults.run import FaultOutcome
from tests.faults.schedule import SCENARIOS, FaultNames
from tests.faults.verdict import RunVerdict, judge

NAMES = FaultNames(
    ("customers", "consents", "marketing", "consents-relay-1", "consents-relay-2"),
    ("a-crm", "b-crm", "c-crm"),
)
BOUND = 3.0


@pytest.mark.parametrize("number", sorted(SCENARIOS))
def test_a_seed_is_a_schedule(number: int) -> None:
    scenario = SCENARIOS[number]
    once, again, other = (scenario.expand(seed, NAMES, 1 / 60) for seed in (7, 7, 8))
    assert once == again
    assert once != other
    assert all(0 <= fault.at <= scenario.phase(1 / 60) for fault in once)


def test_every_scenario_of_operations_but_the_last_two_is_there() -> None:
    assert sorted(SCENARIOS) == list(range(1, 14))


def test_a_load_lifts_only_what_was_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Load.expand(object.__new__(Load), 3, MIXED, 210, contended=False)
    assert len(steps) == 210
    assert len({step.ident for step in steps}) == 210
    for place, step in enumerate(steps):
        for lifted in step.lifts:
            assert lifted < place
            assert steps[lifted].customer == step.customer
            assert steps[lifted].body["act"] not in ("consent", "lifting")
    once = [step.customer for step in steps if step.customer >= MIXED]
    assert sorted(once) == list(range(MIXED, MIXED + NO_PER_SEED))


def ok(t: float, customer: int = 200, via: str = "http") -> dict[str, Any]:
    return {"t": t, "what": "ok", "n": 1, "via": via, "customer": customer, "once": True}


def may(asked: float, *, allowed: bool, who: str = "kauppa-crm", reason: str = "denied") -> dict[str, Any]:
    told = "allowed" if allowed else reason
    return {
        "t": asked + 0.01,
        "what": "may",
        "who": who,
        "customer": 200,
        "asked": asked,
        "allowed": allowed,
        "reason": told,
    }


def test_a_good_history() -> None:
    found = judge([may(1, allowed=True), ok(2), may(4.9, allowed=True), may(5.1, allowed=False)], BOUND)
    assert found.good
    assert (found.acknowledged, found.asked, found.allowed) == (1, 3, 2)
    assert found.longest_yes == pytest.approx(2.9)


def test_a_yes_after_the_bound_is_found() -> None:
    assert judge([ok(2), may(5.1, allowed=True)], BOUND).breached


def test_a_company_is_bound_by_its_own_desk_at_once() -> None:
    assert judge([ok(2, via="kauppa"), may(2.1, allowed=True)], BOUND).breached
    assert not judge([ok(2, via="kauppa"), may(2.1, allowed=True, who="sahko-crm")], BOUND).breached


def test_a_yes_after_a_no_was_seen_is_found() -> None:
    found = judge([may(1, allowed=True), ok(2), may(3, allowed=False), may(4, allowed=True)], BOUND)
    assert found.late
    assert not found.breached


def test_a_shut_gate_is_no_answer() -> None:
    assert judge([may(1, allowed=False, reason="stale"), may(2, allowed=True), ok(3)], BOUND).good


MET = [may(1, allowed=True), ok(2)]
POSTED = {"t": 4, "what": "invoke", "n": 1, "via": "http"}
AWAY = {"t": 9, "what": "mended", "whom": "kafka", "since": 3}
POSTGRES_AWAY = {**AWAY, "whom": "postgres"}


def invoked(number: int, t: float) -> dict[str, Any]:
    return {"t": t, "what": "invoke", "n": number, "via": "http", "customer": 3}


def fault(action: str, **more: object) -> dict[str, Any]:
    return {"t": 1, "what": "fault", "action": action, "more": more}


@pytest.mark.parametrize(
    ("number", "events", "words"),
    [
        (2, [ok(2), POSTED, POSTGRES_AWAY], "no gate said yes"),
        (2, [may(1, allowed=True), POSTED, POSTGRES_AWAY], "no decision was acknowledged"),
        (1, [*MET, {"t": 3, "what": "ended", "reached": False}], "no process ended"),
        (4, [*MET, AWAY], "while Kafka was away"),
        (2, [*MET, POSTED, {**POSTGRES_AWAY, "since": 5}], "while PostgreSQL was away"),
        (3, [*MET, AWAY], "while Kafka was away"),
        (5, [*MET, {"t": 3, "what": "door", "swallowed": 0}], "no answer"),
        (6, [*MET, {"t": 12, "what": "mended", "action": "pause", "since": 3}], "slept"),
        (7, [*MET, {"t": 3, "what": "joined", "reached": False}], "joined"),
        (8, [*MET, {"t": 3, "what": "door", "swallowed": 0}], "nothing was lost"),
        (9, [*MET, invoked(1, 1), invoked(2, 2.1)], "at once"),
        (10, [*MET, fault("poison", kind="key")], "poison"),
        (12, [*MET, fault("redate", days=1.0), fault("redate", days=1.9)], "a day apart"),
        (11, [*MET, {"t": 3, "what": "disk", "ended": []}], "no server"),
        (13, [*MET, {"t": 3, "what": "compacted", "records": 0}], "compacted"),
    ],
)
def test_a_fault_that_met_nothing_is_found(number: int, events: list[dict[str, Any]], words: str) -> None:
    (found,) = missed(number, events)
    assert words in found


def test_what_a_run_is_said_to_show() -> None:
    """A fault that was not met breaks no promise, and shows none."""

    def outcome(**found: list[str]) -> FaultOutcome:
        return FaultOutcome(SCENARIOS[4], 1, [], RunVerdict(**found), [], 1.0)  # type: ignore[arg-type]

    held, missing, broken = outcome(), outcome(missed=["x"]), outcome(late=["y"], missed=["x"])
    assert said([held]) == (True, "every promise held")
    assert [said([held, missing])[0], said([])[0]] == [False, False]
    assert (
        said([held, missing])[1] == said([])[1] == "NOTHING IS SHOWN: a fault was not met, or no seed was run"
    )
    assert said([missing, broken]) == (False, "A PROMISE WAS BROKEN")


def test_faults_that_were_met() -> None:
    for number in (3, 4):
        assert not missed(number, [may(1, allowed=True), POSTED, ok(5), AWAY])
        assert missed(number, [may(1, allowed=True), POSTED, ok(9.1), AWAY])
    assert not missed(2, [*MET, POSTED, POSTGRES_AWAY])
    assert not missed(9, [*MET, invoked(1, 1), invoked(2, 1.5)])
    assert not missed(10, [*MET, *(fault("poison", kind=kind) for kind in KINDS)])
    assert not missed(12, [*MET, fault("redate", days=-1.0), fault("redate", days=1.9)])
    for number, event in (
        (1, {"what": "ended", "reached": True}),
        (5, {"what": "door", "swallowed": 2}),
        (6, {"what": "mended", "action": "pause", "since": -8}),
        (7, {"what": "joined", "reached": True}),
        (8, {"what": "door", "swallowed": 2}),
        (11, {"what": "disk", "ended": ["kafka"]}),
        (13, {"what": "compacted", "records": 4}),
    ):
        assert not missed(number, [*MET, {"t": 3, **event}])


def test_a_ban_of_another_release_can_be_read() -> None:
    assert Decision.model_validate(older_ban("0" * 64)).subject.id == "0" * 64
