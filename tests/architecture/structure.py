"""`./kielto structure [FOLDER]`: figures of the source tree that tests hold down (test_structure.py).

FOLDER is another checkout, to compare with: `./kielto structure ../kielto-before`.
"""

import ast
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from deploy.local.paths import ROOT

PRODUCT = ("services", "shared", "deploy")
WAY = "docs/way-of-a-ban.md"
_LISTED = re.compile(r"^\d+\. `([^`]+\.py)`((?:.*\n(?:   .*\n)*))", re.MULTILINE)
_NAMED = re.compile(r"`(\w+)(?:\(\))?`")
_SQL = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE \w+( (AS )?\w+)? SET|DELETE FROM|MERGE INTO|COPY"
    r"|WITH (RECURSIVE )?\w+ AS|LOCK TABLE|TRUNCATE)\s"
)


class SourceTree:
    """The Python files that git knows below a folder, parsed once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        listed = subprocess.run(
            ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "*.py"],
            capture_output=True,
            text=True,
            check=True,
        )
        self.files = sorted(name for name in listed.stdout.splitlines() if (root / name).is_file())
        self.parsed = {name: ast.parse((root / name).read_text("utf-8")) for name in self.files}

    def product(self) -> Iterator[tuple[str, ast.Module]]:
        return ((name, tree) for name, tree in self.parsed.items() if name.startswith(PRODUCT))

    def lines(self, names: list[str]) -> int:
        return sum((self.root / name).read_text("utf-8").count("\n") for name in names)

    def product_lines(self) -> int:
        return self.lines([name for name, _ in self.product()])

    def modules(self) -> dict[str, int]:
        """By folder: its modules, `__init__` and `__main__` not counted."""
        count: dict[str, int] = defaultdict(int)
        for name in self.files:
            folder, _, module = name.rpartition("/")
            count[folder] += module not in ("__init__.py", "__main__.py")
        return count

    def class_names(self) -> dict[str, list[str]]:
        """By name: the places where a class of it is defined, tests included."""
        places: dict[str, list[str]] = defaultdict(list)
        for name, tree in self.parsed.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    places[node.name].append(f"{name}:{node.lineno}")
        return places

    def class_names_twice(self) -> dict[str, list[str]]:
        return {name: places for name, places in self.class_names().items() if len(places) > 1}

    def sql_outside_store(self) -> list[str]:
        """Statements in a service's code beside its `store`, whose modules are all that may hold any."""
        return [
            f"{name}:{line}"
            for name, tree in self.product()
            if name.startswith("services/") and "/store/" not in name
            for line in sql_lines(tree)
        ]

    def api_importing_store(self) -> list[str]:
        return [
            f"{name}:{node.lineno}"
            for name, tree in self.product()
            if re.match(r"services/\w+/api/", name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module and ".store." in f"{node.module}."
        ]

    def way(self) -> list[str]:
        """The files of a ban's main path, in reading order; none where the document does not exist."""
        return list(self.way_names())

    def besides(self) -> list[str]:
        """The files that every ban runs too and that the document leaves for a second reading."""
        document = self.root / WAY
        text = document.read_text("utf-8") if document.exists() else ""
        return re.findall(r"^- `([^`]+\.py)`", text, re.MULTILINE)

    def way_names(self) -> dict[str, list[str]]:
        """By file of that list: the functions and classes that its line names, as `name()` or `Name`."""
        document = self.root / WAY
        text = document.read_text("utf-8") if document.exists() else ""
        return {file: _NAMED.findall(rest) for file, rest in _LISTED.findall(text)}


def sql_lines(tree: ast.Module) -> list[int]:
    """Lines of the string constants that are SQL statements."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.match(node.value)
    ]


def figures(tree: SourceTree) -> dict[str, int]:
    way = tree.way()
    return {
        "files on a ban's main path": len(way),
        "lines on a ban's main path": tree.lines(way),
        "files that a ban runs besides, for a second reading": len(tree.besides()),
        "lines of these": tree.lines(tree.besides()),
        "modules in the largest folder": max(tree.modules().values()),
        "class names defined twice": len(tree.class_names_twice()),
        "SQL statements outside store/": len(tree.sql_outside_store()),
        "imports of store/ by api/": len(tree.api_importing_store()),
        "lines of Python in services, shared, deploy": tree.product_lines(),
    }


def main(arguments: list[str]) -> int:
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    tree = SourceTree(Path(arguments[0]) if arguments else ROOT)
    for what, number in figures(tree).items():
        print(f"{number:>7,}  {what}")
    print("\nfolders with more than 12 modules:")
    for folder, count in sorted(tree.modules().items(), key=lambda pair: -pair[1]):
        if count > 12:
            print(f"{count:>7}  {folder}")
    for name, places in sorted(tree.class_names_twice().items()):
        print(f"twice: {name}: {', '.join(places)}", file=sys.stderr)
    return 0
