"""A no on a topic of which a word cannot be read: the widest that it may mean, and only there."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kielto.events.envelope import Read, Unreadable, headers, read
from kielto.events.messages import Decision
from kielto.events.words import Act, Channel, Purpose, Reach

SAID = datetime(2026, 3, 1, 12, tzinfo=UTC)


def ban(**fields: Any) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "act": "ban",
        "subject": {"point": "a" * 64, "point_kind": "email"},
        "said_at": SAID.isoformat(),
        "channels": ["email"],
        "purposes": ["own_marketing"],
        **fields,
    }


def on_topic(content: object) -> Decision | Unreadable:
    names = headers(Decision.type_name(), key="k", source="company.kauppa")
    value = content if isinstance(content, bytes) else json.dumps(content).encode()
    found = read([Decision], b"k", value, names)
    if isinstance(found, Read):
        assert isinstance(found.event, Decision)
        return found.event
    assert isinstance(found, Unreadable)
    return found


def taken(**fields: Any) -> Decision:
    found = on_topic(ban(**fields))
    assert isinstance(found, Decision), found
    return found


def broken(decision: Decision) -> list[str]:
    return [field for field, _ in decision.broken]


@pytest.mark.parametrize("channels", [["fax"], ["email", "fax"], "email", [5], None, {"email": True}])
def test_a_channel_that_is_not_known_may_be_any(channels: Any) -> None:
    decision = taken(channels=channels)
    assert set(decision.channels) == set(Channel)
    assert broken(decision)[0].startswith("channels")


@pytest.mark.parametrize(
    ("fields", "reach"),
    [
        ({"purposes": ["telemarketing"]}, None),
        ({"purposes": ["own_marketing", "fun"]}, None),
        ({"purposes": 1, "reach": "partner", "partner": "matkat"}, Reach.GROUP),
        ({"purposes": ["x"], "act": "opt_out"}, Reach.GROUP),
    ],
)
def test_a_purpose_that_is_not_known_may_be_any(fields: dict[str, Any], reach: Reach | None) -> None:
    decision = taken(**fields)
    assert set(decision.purposes) == set(Purpose)
    assert (decision.reach, decision.partner) == (reach, None)


@pytest.mark.parametrize(
    ("fields", "reach"),
    [
        ({"reach": "everybody"}, Reach.GROUP),
        ({"reach": "everybody", "partner": "matkat"}, Reach.GROUP),
        ({"partner": "Matkat Oy"}, Reach.PARTNERS),
        ({"partner": 7, "reach": "partner"}, Reach.PARTNERS),
        ({"partner": "Matkat Oy", "reach": "company"}, Reach.GROUP),
    ],
)
def test_a_reach_or_partner_that_is_not_known_is_the_widest(fields: dict[str, Any], reach: Reach) -> None:
    decision = taken(**fields)
    assert (decision.reach, decision.partner) == (reach, None)
    assert broken(decision)


@pytest.mark.parametrize(
    "said_at", ["20261130", 20261130, "2026-02-30T10:00:00Z", "2026-11-30", "yesterday", None, 1.5, "1", {}]
)
def test_a_time_that_cannot_be_read_is_told_and_refuses_nothing(said_at: Any) -> None:
    assert broken(taken(said_at=said_at)) == ["said_at"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("evidence", "x" * 2001),
        ("evidence", 5),
        ("evidence", "x" * 1990 + "\ud800" * 30),
        ("route", "x" * 41),
        ("route", 5),
        ("by", "robot"),
        ("lifts", "all"),
        ("id", "case 17"),
    ],
)
def test_no_other_word_refuses_a_no(field: str, value: Any) -> None:
    decision = taken(**{field: value})
    assert broken(decision)[0].startswith(field)
    assert not decision.evidence or len(decision.evidence) == 2000


def test_an_id_that_is_none_gives_the_same_id_each_time() -> None:
    one, again, other = (taken(id=ident) for ident in ("case 17", "case 17", "case 18"))
    assert one.id == again.id != other.id


@pytest.mark.parametrize("field", ["evidence", "route", "by", "reach", "partner", "id", "said_at", "unknown"])
def test_half_a_surrogate_pair_refuses_no_no(field: str) -> None:
    """It can be written on (`wait`, results): what cannot would be tried for ever."""
    assert taken(**{field: "a\ud800b"}).model_dump_json()
    assert isinstance(on_topic(ban(act="consent", lifts=["\ud800"])), Unreadable)


@pytest.mark.parametrize("field", ["id", "evidence", "channels", "partner", "unknown"])
@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_no_depth_is_an_error_of_ours(field: str, left: bytes, right: bytes) -> None:
    """Above the depth that is read it is unreadable; `read` never raises."""
    content = json.dumps(ban(**{field: "@"})).encode()
    for depth in [99, 100, 101, *range(900, 1000)]:
        found = on_topic(content.replace(b'"@"', left * depth + b"1" + right * depth))
        assert isinstance(found, Decision) == (depth < 100)


@pytest.mark.parametrize("kind", ["fax", None, 5])
def test_the_digest_says_whose_point_it_is(kind: Any) -> None:
    assert taken(subject={"point": "a" * 64, "point_kind": kind}).subject.point == "a" * 64
    assert taken(subject={"number": "a" * 64, "point_kind": kind or "email"}).subject.number == "a" * 64


@pytest.mark.parametrize(
    "content",
    [
        ban(act="consent", channels=["fax"]),
        ban(act="lifting", said_at=1),
        ban(act="BAN"),
        ban(act=["ban"]),
        ban(subject={}),
        ban(subject="aino@example.com"),
        ban(subject={"id": "a" * 64, "number": "b" * 64}),
        [ban()],
        b'{"act":"ban","act":"consent"}',
    ],
)
def test_a_yes_and_what_says_not_whom_or_what_stays_unreadable(content: Any) -> None:
    found = on_topic(content)
    assert isinstance(found, Unreadable)
    assert "aino" not in found.reason


def test_whoever_writes_one_is_told() -> None:
    for fields in ({"channels": ["fax"]}, {"said_at": "20261130"}, {"said_at": 20261130}, {"route": 5}):
        with pytest.raises(ValidationError):
            Decision.model_validate(ban(**fields))


def test_what_can_be_read_is_read_as_it_is() -> None:
    content = ban()
    decision = taken(**content)
    assert decision == Decision.model_validate(content)
    assert not decision.broken


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from([*Channel, *Reach]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(
    st.sampled_from([a for a in Act if a.restricts]),
    st.dictionaries(st.sampled_from(sorted({*Decision.model_fields} - {"subject", "act"})), JUNK),
)
def test_a_known_no_about_somebody_is_always_read(act: Act, fields: dict[str, Any]) -> None:
    taken(act=act, **fields)
