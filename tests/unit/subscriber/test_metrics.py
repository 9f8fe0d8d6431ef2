"""What an operator sees of a gate."""

from prometheus_client import CollectorRegistry, generate_latest

from kielto.subscriber import MemoryStore, Question, Reason, Subscriber
from kielto.subscriber.gate.gate import Gate
from kielto.subscriber.metrics import GateCollector
from tests.unit.subscriber.gate.test_gate import OpenGate


def test_answers_by_reason_and_the_gate_of_each_partition() -> None:
    kielto = Subscriber(
        subscriber="crm",
        party="company.kauppa",
        bootstrap="kafka:9092",
        point_keys={1: bytes(32)},
        store=MemoryStore(),
    )
    registry = CollectorRegistry()
    registry.register(GateCollector(kielto))
    question = Question("own_marketing", "email", address="aino@example.com")
    kielto.may(question)
    text = generate_latest(registry).decode()
    assert 'kielto_gate_answers_total{reason="starting",subscriber="crm"} 1.0' in text
    assert 'kielto_gate_shut{partition="0",reason="starting",subscriber="crm"} 1.0' in text
    assert 'kielto_gate_view_age_seconds{partition="5",subscriber="crm"} +Inf' in text

    world = OpenGate()
    kielto._loop.gate = world.gate
    assert [kielto.may(question), kielto.may(question)][0]
    text = generate_latest(registry).decode()
    assert 'kielto_gate_answers_total{reason="allowed",subscriber="crm"} 2.0' in text
    assert 'kielto_gate_shut{partition="0",reason="",subscriber="crm"} 0.0' in text
    assert "example" not in text


def test_a_gate_tells_its_partitions_apart() -> None:
    world = OpenGate()
    gate: Gate = world.gate
    world.script.follower.state.shut[next(iter(world.script.follower.state.topics)), 2, 7] = None  # type: ignore[assignment]
    world.now = 11.0
    told = gate.partitions()
    assert [reason for reason, _ in told] == [None, None, Reason.PARTITION_SHUT, None, None, None]
    assert {age for _, age in told} == {1.0}
