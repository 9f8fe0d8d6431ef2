"""What docstrings and comments name exists, and every package says what lives there and who may import it."""

import ast
import builtins
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import PurePath

import pytest

from deploy.local.paths import ROOT
from tests.architecture.structure import SourceTree

_FILE = re.compile(r"(?<![\w/.*-])((?:\w+/)*\w+\.py)\b")
_MEMBER = re.compile(r"`(?:\w+\.)*(\w+)\.(\w+)(?:\(\))?`")
_RAISED = re.compile(r"\b[Rr]aises? ((?:[A-Z][a-z]\w+(?:,? (?:or |and )?)?)+)")
_SUFFIXES = {"py", "sql", "toml"}
_OTHERS = {"PostgreSQL", "app.state", "marketing.events", "permissions.v1"}  # no names of ours
_DEFINITIONS = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Names:
    """What the repository's Python files define."""

    def __init__(self, tree: SourceTree) -> None:
        self.files = {f"/{name}" for name in tree.files}
        self.anywhere = set(dir(builtins))
        self.of_module: dict[str, set[str]] = {}
        for name, parsed in tree.parsed.items():
            path = PurePath(name)
            package = path.name == "__init__.py"
            own = self.of_module.setdefault(path.parent.name if package else path.stem, set())
            inner = path.parent if package else path
            self.of_module.setdefault(inner.parent.name, set()).add(inner.stem)
            for node in ast.walk(parsed):
                if isinstance(node, _DEFINITIONS):
                    own.add(node.name)
                elif isinstance(node, ast.Name):
                    own.add(node.id)
                elif isinstance(node, ast.alias):
                    own.add((node.asname or node.name).rpartition(".")[2])
                elif isinstance(node, ast.Attribute):
                    self.anywhere.add(node.attr)
            self.anywhere |= own

    def dead(self, text: str) -> Iterator[str]:
        """Files, members of our modules and errors that the text names and that do not exist."""
        for file in _FILE.findall(text):
            if not any(known.endswith(f"/{file}") for known in self.files):
                yield file
        for module, member in _MEMBER.findall(text):
            known = self.of_module.get(module)
            if known is not None and member not in known | _SUFFIXES and f"{module}.{member}" not in _OTHERS:
                yield f"{module}.{member}"
        for errors in _RAISED.findall(text):
            yield from (one for one in re.findall(r"[A-Z]\w+", errors) if one not in self.anywhere | _OTHERS)


@pytest.fixture(scope="module")
def names(tree: SourceTree) -> Names:
    return Names(tree)


def prose(parsed: ast.Module, source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each docstring and comment."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.lineno, str(node.value.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_what_is_named_exists(tree: SourceTree, names: Names) -> None:
    found = [
        f"{name}:{line} names {dead}"
        for name, parsed in tree.product()
        for line, text in prose(parsed, (ROOT / name).read_text("utf-8"))
        for dead in names.dead(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["see `store/gone.py`", "as `pool.BY_NOBODY`", "Raises KeyError, or Gone 422.", "# in gone.py"]
)
def test_a_dead_name_is_found(names: Names, text: str) -> None:
    assert list(names.dead(text))


def test_every_package_says_what_lives_there(tree: SourceTree) -> None:
    """First what lives there, then its rule, then what may import what."""
    silent = []
    for name, parsed in tree.product():
        if name.endswith("/__init__.py") and list((ROOT / name).parent.glob("[a-z]*.py")):
            lines = [line for line in (ast.get_docstring(parsed) or "").splitlines() if line]
            if len(lines) < 3:
                silent.append(name)
    assert not silent
