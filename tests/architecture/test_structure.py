"""The figures of `./kielto structure` stay within their bounds, and the way of a ban is what its document says."""

import ast
import re

from deploy.local.paths import ROOT
from tests.architecture.structure import WAY, SourceTree, sql_lines

MOST_MODULES = 15
MOST_FILES, MOST_LINES = 25, 4_500


def test_no_folder_has_too_many_modules(tree: SourceTree) -> None:
    large = {folder: count for folder, count in tree.modules().items() if count > MOST_MODULES}
    assert not large, f"split them by subject: {large}"


def test_sql_stands_in_store_alone(tree: SourceTree) -> None:
    assert not tree.sql_outside_store()


def test_a_statement_is_recognised() -> None:
    assert sql_lines(ast.parse('ALL = """\nSELECT id\nFROM decisions\n"""')) == [1]
    assert sql_lines(ast.parse("MOVE = 'UPDATE customers c SET id = $1'")) == [1]
    assert not sql_lines(ast.parse('WHAT = "Select a campaign, then update it"'))


def test_the_way_of_a_ban_is_short(tree: SourceTree) -> None:
    way = tree.way()
    assert len(way) == len(set(way))
    missing = [name for name in way if not (ROOT / name).is_file()]
    assert not missing
    said = re.search(r"(\d+) files, ([\d,]+) lines", (ROOT / WAY).read_text("utf-8"))
    assert said, f"{WAY} says how many files and lines there are"
    assert int(said[1]) == len(way)
    assert abs(int(said[2].replace(",", "")) - tree.lines(way)) < 50, "write the figure anew"
    assert len(way) <= MOST_FILES
    assert tree.lines(way) <= MOST_LINES


def test_what_a_ban_runs_besides_is_told(tree: SourceTree) -> None:
    """All that the decision's transaction imports of its service is listed, here or there, or named beside."""
    text = (ROOT / WAY).read_text("utf-8")
    besides = tree.besides()
    assert f"{len(besides)} files, {tree.lines(besides):,} lines" in text
    decide = "services/consents/use_cases/decisions/decide.py"
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree.parsed[decide])
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("services.")
        for alias in node.names
    }
    modules = {name.removesuffix(".py").replace("/", "."): name for name in tree.files}
    run = {modules.get(name) or modules.get(name.rpartition(".")[0]) for name in imported} - UNTOLD
    assert not [name for name in run if name and name not in {*tree.way(), *besides} and name not in text]


UNTOLD = {  # settings and counters of the process
    "services/consents/metrics.py",
    "services/consents/use_cases/context.py",
}


def test_the_way_of_a_ban_names_what_is_there(tree: SourceTree) -> None:
    """Each line of the list names functions or classes that its file defines."""
    for name, defined in tree.way_names().items():
        source = (ROOT / name).read_text("utf-8")
        for one in defined:
            assert re.search(rf"^\s*(async def|def|class) {one}\b", source, re.MULTILINE), f"{name}: {one}"


ASKED_FROM_OUTSIDE = {
    "router",  # FastAPI
    "may",  # the campaign system
    "acknowledge",  # consumers/subscriptions.py
}


def test_the_way_of_a_ban_is_walked(tree: SourceTree) -> None:
    """What its list names as a function is called by a listed file."""
    sources = [(ROOT / name).read_text("utf-8") for name in tree.way()]
    called = {one for source in sources for one in re.findall(r"(?<!def )\b(\w+)\(", source)}
    functions = {
        one
        for name, defined in tree.way_names().items()
        for one in defined
        if re.search(rf"def {one}\b", (ROOT / name).read_text("utf-8"))
    }
    assert functions - ASKED_FROM_OUTSIDE <= called
