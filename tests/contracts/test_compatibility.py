"""No reader is left behind: the schemas against every release, and each planted break is found."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from deploy.local.paths import ROOT
from kielto.contract.documents import releases
from kielto.contract.schemas import EXAMPLE_OF, schemas
from kielto.events.topics import all_topics
from tests.contracts.compatibility import UnknownKeywordError, breaks

RELEASES = releases(ROOT / "docs/contract")
READ_OUTSIDE = {
    model.type_name()
    for topic in all_topics(["company.a", "partner.p"])
    if any("." in reader for reader in topic.readers)
    for model in topic.carries
}
"""Written by us and read by companies and partners, whose library may be older than ours."""


def test_there_is_a_release_and_it_has_every_kind() -> None:
    assert RELEASES
    assert {m.type_name() for m in EXAMPLE_OF} == set(schemas())
    assert len(READ_OUTSIDE) == 8


@pytest.mark.parametrize("number", range(1, len(RELEASES) + 1))
def test_every_message_ever_published_can_still_be_read(number: int) -> None:
    """BACKWARD_TRANSITIVE. To break it, give the event another `major` and keep the old one beside it."""
    new = schemas()
    for name, old in RELEASES[number - 1].items():
        assert name in new, f"{name}: was removed"
        assert breaks(old, new[name]) == [], name


@pytest.mark.parametrize("number", range(1, len(RELEASES) + 1))
def test_an_older_library_outside_still_reads_what_we_write(number: int) -> None:
    """Else its gate would shut for every record with the new word or field."""
    new = schemas()
    for name in READ_OUTSIDE & set(RELEASES[number - 1]):
        assert breaks(new[name], RELEASES[number - 1][name], lossless=False) == [], name


# Planted changes to the schema of one message.

Change = Callable[[dict[str, Any]], Any]
BREAKS: dict[str, tuple[Change, str]] = {
    "new required field": (lambda s: s["required"].append("reach"), ".reach: became required"),
    "required field in a part": (
        lambda s: s["$defs"]["DecisionSubject"].update(required=["id"]),
        ".subject.id: became required",
    ),
    "removed field": (lambda s: s["properties"].pop("evidence"), ".evidence: was removed"),
    "removed word": (lambda s: s["$defs"]["Act"]["enum"].remove("ban"), ".act: fewer values than before"),
    "removed word in a list": (
        lambda s: s["$defs"]["Channel"]["enum"].remove("post"),
        ".channels[]: fewer values than before",
    ),
    "words where all were allowed": (
        lambda s: s["properties"]["route"].update(enum=["phone"]),
        ".route: fewer values than before",
    ),
    "other type": (
        lambda s: s["properties"]["route"].update(type="integer"),
        ".route: type string became integer",
    ),
    "no longer null": (
        lambda s: s["properties"].update(evidence={"type": "string", "maxLength": 2000, "default": None}),
        ".evidence: type null became string",
    ),
    "shorter text": (
        lambda s: s["properties"]["route"].update(maxLength=39),
        ".route: maxLength was lowered",
    ),
    "longer least text": (
        lambda s: s["properties"]["route"].update(minLength=1),
        ".route: minLength was raised",
    ),
    "fewer items": (lambda s: s["properties"]["lifts"].update(maxItems=99), ".lifts: maxItems was lowered"),
    "other pattern": (
        lambda s: s["$defs"]["DecisionSubject"]["properties"]["id"]["anyOf"][0].update(
            pattern="^[0-9a-f]{32}$"
        ),
        ".subject.id: pattern changed",
    ),
    "new format": (lambda s: s["properties"]["route"].update(format="uri"), ".route: format changed"),
    "other default": (lambda s: s["properties"]["by"].update(default="staff"), ".by: default changed"),
    "no default": (lambda s: s["properties"]["by"].pop("default"), ".by: default changed"),
    "closed to later fields": (lambda s: s.update(additionalProperties=False), ".*: narrowed"),
}
FINE: dict[str, Change] = {
    "nothing": lambda s: None,
    "new optional field": lambda s: s["properties"].update(later={"type": "string", "default": ""}),
    "new word": lambda s: s["$defs"]["Channel"]["enum"].append("fax"),
    "field no longer required": lambda s: s["required"].remove("act"),
    "longer text": lambda s: s["properties"]["route"].update(maxLength=41),
    "no bound": lambda s: s["properties"]["route"].pop("maxLength"),
    "other words in a description": lambda s: s.update(description="clearer"),
    "null too": lambda s: s["properties"].update(
        by={"default": "person", "anyOf": [s["properties"]["by"], {"type": "null"}]}
    ),
}
DECISION = schemas()["kielto.decision.v1"]


@pytest.mark.parametrize("name", BREAKS)
def test_a_planted_break_is_found_and_named(name: str) -> None:
    change, said = BREAKS[name]
    changed = copy.deepcopy(DECISION)
    change(changed)
    found = breaks(DECISION, changed)
    assert any(said in line for line in found), found


@pytest.mark.parametrize("name", FINE)
def test_a_change_that_every_old_message_survives_is_allowed(name: str) -> None:
    changed = copy.deepcopy(DECISION)
    FINE[name](changed)
    assert breaks(DECISION, changed) == []


def test_a_word_that_older_readers_do_not_know_is_a_break_for_them() -> None:
    changed = copy.deepcopy(DECISION)
    FINE["new word"](changed)
    FINE["new optional field"](changed)
    assert breaks(changed, DECISION, lossless=False) == [".channels[]: fewer values than before"]


def test_a_keyword_that_is_not_compared_is_no_silent_pass() -> None:
    changed = copy.deepcopy(DECISION)
    changed["properties"]["route"]["not"] = {"const": "x"}
    with pytest.raises(UnknownKeywordError, match=r"\.route"):
        breaks(DECISION, changed)
