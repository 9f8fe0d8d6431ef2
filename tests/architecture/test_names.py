"""A class name stands once in the repository: docs/decisions/0036-names.md, where exceptions to that are listed."""

import re
from collections.abc import Iterable, Mapping

from deploy.local.paths import ROOT
from tests.architecture.structure import SourceTree

RECORD = ROOT / "docs" / "decisions" / "0036-names.md"


def listed(record: str) -> set[str]:
    section = record.split("## Names that stand twice\n")[1].split("\n## ")[0]
    return set(re.findall(r"^- `(\w+)`: \S", section, re.MULTILINE))


def problems(places: Mapping[str, list[str]], allowed: Iterable[str]) -> list[str]:
    twice = {name: where for name, where in places.items() if len(where) > 1}
    return [
        *(f"{name}: defined at {', '.join(where)}" for name, where in twice.items() if name not in allowed),
        *(f"{name}: listed in the record, but defined once at most" for name in allowed if name not in twice),
    ]


def test_a_class_name_stands_once(tree: SourceTree) -> None:
    assert problems(tree.class_names(), listed(RECORD.read_text("utf-8"))) == []


def test_a_planted_second_class_is_found(tree: SourceTree) -> None:
    places = tree.class_names()
    (only,) = places["Answer"]
    assert problems(places | {"Answer": [only, "planted.py:1"]}, set()) == [
        f"Answer: defined at {only}, planted.py:1"
    ]
    assert problems(places | {"Answer": [only, "planted.py:1"]}, {"Answer"}) == []


def test_a_listed_name_that_stands_once_is_found(tree: SourceTree) -> None:
    record = "## Names that stand twice\n- `Answer`: planted\n\n## Instead of\n"
    assert listed(record) == {"Answer"}
    assert problems(tree.class_names(), listed(record)) == [
        "Answer: listed in the record, but defined once at most"
    ]
