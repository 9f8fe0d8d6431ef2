"""The contract as documents, below one folder (`docs/contract`).

    schemas/<type>.json    JSON Schema of each message
    asyncapi.json          the topics of the group, AsyncAPI 3.0
    released/<n>.json      all schemas as they once were published; new ones stay compatible with every one

Add a release when outside readers may use what is new.
"""

import json
from pathlib import Path
from typing import Any

from kielto.contract.asyncapi import document
from kielto.contract.schemas import schemas
from kielto.group import Group


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
