"""What stands once is used everywhere: the clock, a party's text, the form of problem titles and log events."""

import ast
import re
from collections.abc import Iterator

from services.consents.api import operations, problems
from tests.architecture.structure import SourceTree

EVENT = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")
LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
TITLE_AT = {"ProblemError": 2, "unavailable": 1}
OF_SERVICES = ("services/", "shared/kielto/service/")


def calls(tree: SourceTree) -> Iterator[tuple[str, ast.Call]]:
    for name, parsed in tree.product():
        for node in ast.walk(parsed):
            if isinstance(node, ast.Call):
                yield f"{name}:{node.lineno}", node


def name_of(call: ast.Call) -> str:
    """`ProblemError` of `ProblemError(…)` and of `problem.ProblemError(…)`."""
    return ast.unparse(call.func).rpartition(".")[2]


def text(node: ast.expr) -> str:
    """Of a string or f-string, whose values are left out."""
    match node:
        case ast.Constant(value=str() as value):
            return value
        case ast.JoinedStr(values=values):
            return "".join(text(part) if isinstance(part, ast.Constant) else "x" for part in values)
    return ""


def test_problem_titles_are_in_sentence_case_without_a_full_stop(tree: SourceTree) -> None:
    titles = {
        place: text(node.args[TITLE_AT[name_of(node)]])
        for place, node in calls(tree)
        if len(node.args) > TITLE_AT.get(name_of(node), 99)
    }
    titles |= {f"problems.py: {slug}": title for _, slug, title, *_ in problems.PROBLEMS.values()}
    assert len(titles) > 30
    assert not {place: title for place, title in titles.items() if title.endswith(".") or title[:1].islower()}


def test_log_events_are_dotted_names(tree: SourceTree) -> None:
    """The library for outside systems uses the standard library's logging, whose messages are sentences."""
    events = {
        place: text(node.args[0])
        for place, node in calls(tree)
        if name_of(node) in LEVELS and node.args and place.startswith(OF_SERVICES)
    }
    assert len(events) > 40
    assert not {place: event for place, event in events.items() if not EVENT.fullmatch(event)}


def test_the_clock_is_injected(tree: SourceTree) -> None:
    """`datetime.now` stands once; everybody else is given the clock."""
    asked = {
        place.partition(":")[0]
        for place, node in calls(tree)
        if ast.unparse(node.func).endswith(("datetime.now", "datetime.utcnow", "date.today", "time.time"))
        and not place.startswith("deploy/")  # the demo and the tokens of one machine
    }
    assert asked == {"shared/kielto/clock.py"}


def test_a_party_is_made_and_read_by_its_type(tree: SourceTree) -> None:
    by_hand = [
        f"{name}:{node.lineno}"
        for name, parsed in tree.product()
        if name != "shared/kielto/events/party.py" and not name.startswith("deploy/")
        for node in ast.walk(parsed)
        if isinstance(node, ast.JoinedStr) and re.match(r"(company|partner)\.x", text(node))
    ]
    assert not by_hand


def test_every_problem_of_the_table_is_told_of_an_operation() -> None:
    told = {problem for operation in operations.OPERATIONS.values() for problem in operation.problems}
    assert {f"{status} {slug}" for status, slug, *_ in problems.PROBLEMS.values()} <= told
