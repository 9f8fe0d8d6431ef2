"""A template that one record taught must never read another one otherwise than the plain reader does."""

import pytest

from kielto.events.envelope import headers
from kielto.events.records import Permissions
from kielto.events.topics import Lane
from kielto.subscriber.gate.gate import Gate
from kielto.subscriber.gate.local_denials import Denials
from kielto.subscriber.gate.questions import Question
from kielto.subscriber.records.decode import Decoder
from kielto.subscriber.replica.follower import Follower, Shut
from tests.unit.subscriber.gate.test_gate import PARTY, TOPIC
from tests.unit.subscriber.logs import hexes

Message = tuple[bytes, bytes, list[tuple[str, bytes]]]


class Open(Follower):
    def gate(self, partition: int, now: float) -> Shut | None:
        return None


def message(key: str, version: str, rest: str) -> Message:
    value = f'{{"version":"{version}",{rest}'.encode()
    return key.encode(), value, headers(Permissions.type_name(), key=key, source="consents", version=version)


def gate(messages: list[Message]) -> tuple[Gate, Follower]:
    follower = Open(30.0, durable=False)
    decoder = Decoder(follower.image.shapes)
    follower.read(Lane.BULK, [(0, offset, decoder.read(*one)) for offset, one in enumerate(messages)])
    return Gate(PARTY, follower, Denials(TOPIC)), follower


@pytest.mark.parametrize("taught", [False, True])
def test_an_erased_record_that_is_not_bare_is_unreadable_whatever_came_before(taught: bool) -> None:
    first, second, third, point = map(hexes, ("first", "second", "third", "a shared address"))

    def live(key: str) -> Message:
        allow = '"allow":[{"purpose":"own_marketing"}]'
        return message(
            key, "1.1", f'"subject":"{key}","points":[{{"point":"{point}","channel":"post",{allow}}}]}}'
        )

    told = '"changed_at":"2026-01-01T00:00:00Z"'
    spoiled = message(first, "1.2", f'{told},"subject":"{first}","status":"erased"}}')
    bare = message(third, "1.1", f'"subject":"{third}","status":"erased"}}')
    asked, follower = gate([live(first), live(second), *([bare] if taught else []), spoiled])
    assert not asked.may(Question("own_marketing", "post", address=point))
    assert len(follower.state.exceptions) == 1


@pytest.mark.parametrize("taught", [False, True])
def test_a_product_group_that_looks_like_a_hash_is_a_product_group(taught: bool) -> None:
    toys, wine = hexes("toys"), hexes("wine")

    def record(key: str, group: str) -> Message:
        allow = f'"allow":[{{"purpose":"own_marketing","product_groups":["{group}"]}}]'
        point = f'{{"point":"{hexes(key + "point")}","channel":"email",{allow}}}'
        return message(key, "1.1", f'"subject":"{key}","points":[{point}]}}')

    other, mine = hexes("other"), hexes("mine")
    asked, _ = gate([*([record(other, toys)] if taught else []), record(mine, wine)])
    assert asked.may(Question("own_marketing", "email", customer=mine, product_group=wine))
    assert not asked.may(Question("own_marketing", "email", customer=mine, product_group=toys))
