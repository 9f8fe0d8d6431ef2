"""The group file: what it means, and that each of its rules refuses with the field and the rule."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from kielto.group import Group, GroupError, load

ROOT = Path(__file__).parents[2]


def raw() -> dict[str, Any]:
    """A small valid group, to be broken by one change at a time."""
    return {
        "revision": 1,
        "controller": {"name": "G", "business_id": "9912345-6", "contact": "a@example.com"},
        "companies": [{"id": c, "name": c, "product_groups": ["x"]} for c in ("a", "b")],
        "partners": [{"id": "p", "name": "P", "of": ["a"]}],
        "processors": [{"id": "q", "name": "Q", "acts_for": ["b"], "task": "printing"}],
        "subscribers": [
            {"id": "a-crm", "party": "company.a", "name": "A"},
            {"id": "p-crm", "party": "partner.p", "name": "P"},
        ],
    }


def written(folder: Path, content: Any) -> Path:
    path = folder / "group.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_the_groups_own_file_is_valid_and_beats_can_be_faster() -> None:
    group = load(ROOT / "group.yaml")
    assert len(group.companies) == 3
    assert group.parties == (*(f"company.{c.id}" for c in group.companies), "partner.matkat")
    assert load(ROOT / "group.yaml", beat_seconds=0.5).beat_seconds == 0.5


def test_what_is_asked_of_a_group(tmp_path: Path) -> None:
    group = load(written(tmp_path, raw()))
    assert group.company("a").country == "FI"
    assert (group.partners_of("a"), group.partners_of("b")) == (("p",), ())
    assert [s.id for s in group.subscribers_of("partner.p")] == ["p-crm"]
    assert group.subscribers_of("company.b") == ()
    with pytest.raises(KeyError, match="nobody"):
        group.company("nobody")


def test_its_topics_have_one_writer_and_one_lane_each(tmp_path: Path) -> None:
    topics = load(written(tmp_path, raw())).topics()
    names = [t.name for t in topics]
    assert len(set(names)) == len(names) == 2 + 2 + 1 + 3 * 8
    for topic in topics:
        assert topic.partitions == 6
        assert topic.writer not in topic.readers
        assert topic.config["message.timestamp.type"] == "LogAppendTime"
        party = topic.name.rsplit(".", 2)[0]
        if party.startswith(("company.", "partner.")):  # a party sees its own topics only, written or read
            assert party in {topic.writer, *topic.readers}
            assert {topic.writer, *topic.readers} - {party} <= {"customers", "consents", "marketing"}
        else:
            assert {topic.writer, *topic.readers} <= {"customers", "consents", "marketing"}


def test_a_wrong_late_record_is_found_before_compaction_and_erasure_is_bounded(tmp_path: Path) -> None:
    for topic in load(written(tmp_path, raw())).topics():
        if topic.config["cleanup.policy"] == "compact":
            assert int(topic.config["min.compaction.lag.ms"]) < int(topic.config["max.compaction.lag.ms"])
        else:
            assert int(topic.config["retention.ms"]) >= 7 * 86_400_000


def broken(path: str, value: Any) -> Any:
    content: Any = raw()
    *steps, last = (int(s) if s.isdigit() else s for s in path.split("."))
    inner = content
    for step in steps:
        inner = inner[step]
    inner[last] = value
    return content


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("revision", 0, "revision: must be at least 1"),
        ("companies", [], "companies: must have at least 1 items"),
        ("companies.1.id", "a", "companies: ids must be unique"),
        ("companies.0.id", "A", "companies.0.id: has characters or a form that this field does not accept"),
        ("companies.0.id", "a.b", "companies.0.id: has characters or a form that this field does not accept"),
        ("companies.0.country", "fi", "companies.0.country"),
        ("companies.0.product_groups", [], "companies.0.product_groups"),
        ("companies.0.colour", "red", "companies.0.colour: unknown field"),
        ("partners", [{"id": "p", "name": "P", "of": ["a"]}] * 2, "partners: ids must be unique"),
        ("partners.0.of", ["nobody"], "partners.p.of: unknown company nobody"),
        ("partners.0.of", [], "partners.0.of"),
        ("processors", raw()["processors"] * 2, "processors: ids must be unique"),
        ("processors.0.acts_for", ["nobody"], "processors.q.acts_for: unknown company nobody"),
        ("subscribers.1.id", "a-crm", "subscribers: ids must be unique"),
        ("subscribers.0.party", "company.nobody", "subscribers.a-crm.party: unknown company.nobody"),
        ("subscribers.0.party", "partner.a", "subscribers.a-crm.party: unknown partner.a"),
        (
            "subscribers.0.party",
            "a",
            "subscribers.0.party: has characters or a form that this field does not accept",
        ),
        (
            "subscribers.0.stale_seconds",
            29.9,
            "subscribers.a-crm.stale_seconds: must be at least three times beat_seconds",
        ),
        ("subscribers.0.stale_seconds", float("inf"), "subscribers.0.stale_seconds: must be a finite number"),
        ("controller.business_id", "0000000-0", "controller.business_id: must be the group's own"),
        ("controller.business_id", "FI 3333333-9", "controller.business_id: must be the group's own"),
        ("controller.business_id", "1234567-1", "controller.business_id: must be the group's own"),
        ("controller.business_id", "-", "controller.business_id: must be the group's own"),
        ("controller", [], "controller: must be an object"),
        ("companies", 5, "companies: must be a list"),
        ("companies.0.name", {}, "companies.0.name: must be text"),
        ("subscribers.0.deadline_seconds", 0, "subscribers.0.deadline_seconds"),
        ("beat_seconds", 0, "beat_seconds"),
        ("beat_seconds", float("nan"), "beat_seconds"),
    ],
)
def test_each_rule_names_the_field(tmp_path: Path, path: str, value: Any, says: str) -> None:
    with pytest.raises(GroupError) as caught:
        load(written(tmp_path, broken(path, value)))
    assert says in str(caught.value)


def test_a_slower_beat_is_held_against_the_stale_times(tmp_path: Path) -> None:
    path = written(tmp_path, raw())
    with pytest.raises(GroupError, match="at least three times"):
        load(path, beat_seconds=11)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"- a\n",
        b"5",
        b"a: [",
        b"\xff\xfe\xff",
        b"a: 1\n\x00",
        b"revision: 2026-13-45",
        b"? [a]\n: 1",
        b"[" * 5000,
    ],
)
def test_a_file_that_is_no_group_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "group.yaml"
    path.write_bytes(content)
    with pytest.raises(GroupError, match=r"group\.yaml"):
        load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GroupError, match="FileNotFoundError"):
        load(tmp_path / "none.yaml")


def test_a_group_does_not_change_under_its_readers(tmp_path: Path) -> None:
    group: Group = load(written(tmp_path, raw()))
    with pytest.raises(ValueError, match="frozen"):
        group.revision = 2  # type: ignore[misc]


def test_each_problem_is_one_plain_line(tmp_path: Path) -> None:
    """Whoever edits the file by hand meets all its mistakes at once, and nothing of Python or pydantic."""
    content = broken("revision", "one") | {"colour": "red", "companies": "none"}
    path = written(tmp_path, content)
    with pytest.raises(GroupError) as caught:
        load(path)
    assert str(caught.value).splitlines() == [
        f"{path}: revision: must be a whole number",
        f"{path}: companies: must be a list",
        f"{path}: colour: unknown field",
    ]
    twice = broken("companies.1.id", "a") | {"partners": [{"id": "p", "name": "P", "of": ["x", "y"]}]}
    with pytest.raises(GroupError) as caught:
        load(written(tmp_path, twice))
    assert [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()] == [
        "companies: ids must be unique: a appears twice",
        "partners.p.of: unknown company x",
        "partners.p.of: unknown company y",
        "processors.q.acts_for: unknown company b",
    ]
