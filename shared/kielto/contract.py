"""Writes the contract as documents: `python -m kielto.contract write docs/contract`.

    schemas/<type>.json    JSON Schema of each message
    asyncapi.json          the topics of the group, AsyncAPI 3.0
    released/<n>.json      all schemas as they once were published; new ones stay compatible with every one

`acls` prints who may do what on the brokers (`kielto.acls`). `release` adds the present schemas as the next release:
when readers outside may build upon them.
"""

import json
import sys
from pathlib import Path
from typing import Any

from kielto import acls
from kielto.events.asyncapi import document
from kielto.events.schemas import schemas
from kielto.group import Group, load


def files(group: Group) -> dict[str, str]:
    """Every generated file by its path below the contract's folder."""
    written = {f"schemas/{name}.json": _json(schema) for name, schema in schemas().items()}
    return written | {"asyncapi.json": _json(document(group.topics()))}


def write(folder: Path, group: Group) -> None:
    for old in folder.glob("schemas/*.json"):
        old.unlink()
    for name, text in files(group).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def releases(folder: Path) -> list[dict[str, dict[str, Any]]]:
    """The schemas of every release, oldest first."""
    paths = sorted(folder.glob("released/*.json"), key=lambda path: int(path.stem))
    return [json.loads(path.read_text("utf-8")) for path in paths]


def release(folder: Path) -> Path:
    path = folder / "released" / f"{len(releases(folder)) + 1}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_json(schemas()), encoding="utf-8")
    return path


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    match arguments:
        case ["write", folder]:
            write(Path(folder), load(Path("group.yaml")))
        case ["release", folder]:
            release(Path(folder))
        case ["acls"]:
            sys.stdout.write(acls.lines(load(Path("group.yaml"))))
        case ["acls", "strimzi"]:
            sys.stdout.write(acls.strimzi(load(Path("group.yaml"))))
        case _:
            sys.stderr.write(
                "usage: python -m kielto.contract write FOLDER | release FOLDER | acls [strimzi]\n"
            )
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
