"""A gate's age is told by a clock that nobody sets: a wall clock set back must not keep it open."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import time_machine

from kielto.clock import clock
from kielto.events.topics import PARTITIONS
from kielto.subscriber.gate.gate import Gate
from kielto.subscriber.gate.local_denials import Denials
from kielto.subscriber.gate.questions import Question, Reason
from tests.unit.subscriber.gate.test_gate import PARTY, TOPIC, OpenGate
from tests.unit.subscriber.logs import beat, hexes

STALE_SECONDS = 0.2


def stays_open(now: Callable[[], float]) -> bool:
    """Whether a gate that counts by `now` is still open after its N, when the wall clock was set back meanwhile."""
    world = OpenGate()
    world.script.follower.stale_seconds = STALE_SECONDS
    for partition in range(PARTITIONS):
        world.script.probe(now(), partition)
        world.script.express(beat(5), beat(6), partition=partition)
    gate = Gate(PARTY, world.script.follower, Denials(TOPIC), now)
    question = Question("own_marketing", "email", customer=hexes("aino"))
    assert gate.may(question)
    with time_machine.travel(datetime.now(UTC) - timedelta(days=3), tick=True):
        time.sleep(1.5 * STALE_SECONDS)
        return gate.may(question).reason is not Reason.STALE


def test_a_clock_set_back_opens_nothing() -> None:
    assert not stays_open(clock)


def test_planted_freshness_by_the_wall_clock() -> None:
    assert stays_open(time.time)
