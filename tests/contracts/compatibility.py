"""Whether one JSON Schema still reads what was written under another, for the keywords that our schemas use.

`breaks(written, read)` names each reason why a document that is valid under `written` would be refused by a reader
with `read`, or would mean something else to it. The relation is transitive.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]
NOTES = {"$schema", "$id", "$defs", "title", "description", "examples", "const", "default"}
COMPARED = {
    "type",
    "enum",
    "pattern",
    "format",
    "anyOf",
    "items",
    "properties",
    "required",
    "additionalProperties",
}
UPPER, LOWER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}, {
    "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties",
}  # fmt: skip


class UnknownKeywordError(Exception):
    """A schema uses a keyword that is not compared here: teach it before it can be trusted."""


def breaks(written: Schema, read: Schema, *, lossless: bool = True) -> list[str]:
    """`lossless`: the reader also knows every field of the writer, so that nothing is ignored unseen."""
    return list(_Comparison(written, read, lossless).run("", written, read))


class _Comparison:
    def __init__(self, written: Schema, read: Schema, lossless: bool) -> None:
        self._definitions = written.get("$defs", {}), read.get("$defs", {})
        self._lossless = lossless

    def run(self, path: str, written: Schema, read: Schema) -> Iterator[str]:
        old, new = _resolved(written, self._definitions[0]), _resolved(read, self._definitions[1])
        for schema in (old, new):
            if unknown := set(schema) - NOTES - COMPARED - UPPER - LOWER:
                raise UnknownKeywordError(f"{path}: {sorted(unknown)}")
        if old.get("default") != new.get("default") or ("default" in old) != ("default" in new):
            yield f"{path}: default changed, and writers leave defaults out"
        choices = new.get("anyOf", [new])
        for choice in old.get("anyOf", [old]):
            found = [list(self._one(path, _resolved(choice, self._definitions[0]), c)) for c in choices]
            yield from min(found, key=len)

    def _one(self, path: str, old: Schema, unresolved: Schema) -> Iterator[str]:
        new = _resolved(unresolved, self._definitions[1])
        if old.get("type") != new.get("type") and "type" in new:
            yield f"{path}: type {old.get('type')} became {new['type']}"
            return
        yield from _bounds(path, old, new)
        yield from self._fields(path, old, new)
        for keyword, below in (("items", "[]"), ("additionalProperties", ".*")):
            if isinstance(old.get(keyword), dict) and isinstance(new.get(keyword), dict):
                yield from self.run(path + below, old[keyword], new[keyword])
            elif new.get(keyword, True) is not True and new.get(keyword) != old.get(keyword):
                yield f"{path}{below}: narrowed"

    def _fields(self, path: str, old: Schema, new: Schema) -> Iterator[str]:
        for name in sorted(set(new.get("required", [])) - set(old.get("required", []))):
            yield f"{path}.{name}: became required"
        for name, schema in old.get("properties", {}).items():
            if name in new.get("properties", {}):
                yield from self.run(f"{path}.{name}", schema, new["properties"][name])
            elif self._lossless:
                yield f"{path}.{name}: was removed"


def _resolved(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """With what it refers to in place; its own words (a default beside a reference) win."""
    if "$ref" not in schema:
        return schema
    own = {name: value for name, value in schema.items() if name != "$ref"}
    return {**definitions[schema["$ref"].removeprefix("#/$defs/")], **own}


def _bounds(path: str, old: Schema, new: Schema) -> Iterator[str]:
    allowed, offered = _values(new), _values(old)
    if allowed is not None and (offered is None or not offered <= allowed):
        yield f"{path}: fewer values than before"
    for keyword in ("pattern", "format"):
        if keyword in new and new[keyword] != old.get(keyword):
            yield f"{path}: {keyword} changed"
    for keyword in UPPER & set(new):
        if keyword not in old or old[keyword] > new[keyword]:
            yield f"{path}: {keyword} was lowered"
    for keyword in LOWER & set(new):
        if keyword not in old or old[keyword] < new[keyword]:
            yield f"{path}: {keyword} was raised"


def _values(schema: Schema) -> set[object] | None:
    if "const" in schema:
        return {schema["const"]}
    return set(schema["enum"]) if "enum" in schema else None
