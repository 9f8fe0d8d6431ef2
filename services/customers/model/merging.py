"""Two customers who turn out to be one. Pure: nothing is read, nothing is written."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kielto.validation import FieldRule
from services.customers.model.customer import Facts, Point, PointStatement, RegisteredCustomer
from services.customers.model.problems import CustomerRefusedError, refused

_TAKEN = (
    "recipient", "name", "language", "identity", "business_id", "birth_date", "organisation", "person", "duties",
)  # fmt: skip
"""What a source is taken to state of the survivor, too, where it stated nothing of it."""
_RESTRICTING = ("minor", "deceased", "safety_ban")
"""What a source states when it stated it of either: the death wins, and so do the others."""
_MOST = 50


def merge(survivor: RegisteredCustomer, duplicate: RegisteredCustomer) -> RegisteredCustomer:
    """`survivor` with what `duplicate` had, source by source. Raises CustomerRefusedError when they cannot be one."""
    if problems := [*_differences(survivor, duplicate)]:
        raise CustomerRefusedError(problems)
    sources = sorted({*survivor.facts, *duplicate.facts})
    facts = {s: _facts(survivor.stated_by(s), duplicate.stated_by(s), survivor) for s in sources}
    aliases = {*survivor.aliases, *duplicate.aliases, duplicate.id}
    merged = replace(
        survivor,
        facts=facts,
        points=tuple(_points(survivor, duplicate)),
        customerships=tuple(
            sorted(survivor.customerships + duplicate.customerships, key=lambda c: c.canonical)
        ),
        aliases=tuple(sorted(aliases)),
        former=(survivor.identities | duplicate.identities) - {f.identity for f in facts.values()},
        links=(survivor.links | duplicate.links) - aliases - {survivor.id},
    )
    for field in ("points", "customerships"):
        if len(getattr(merged, field)) > _MOST:
            raise refused(field, f"must be at most {_MOST} for one customer")
    return merged


def _differences(one: RegisteredCustomer, other: RegisteredCustomer) -> Iterable[FieldRule]:
    """What one person, or one organisation, has only one of. Nobody guesses which of two is right."""
    if contradict(_all(one, "recipient"), _all(other, "recipient")):
        yield FieldRule("recipient", "must be the same for both customers")
    for field in ("identity", "business_id", "birth_date"):
        if contradict(_all(one, field), _all(other, field)):
            name = "identity_code" if field == "identity" else field
            yield FieldRule(
                name, "must be the same for both customers, or known of one: remove the wrong one first"
            )
    if _all(one, "organisation") != _all(other, "organisation"):
        yield FieldRule(
            "organisation", "must be the same for both: a person is one contact person per organisation"
        )
    # Duties allow what needs consent outside them: neither may widen the other's.
    if _groups(one) != _groups(other):
        yield FieldRule(
            "duties",
            "must have the same product groups for both: a person is one contact person per duty area",
        )


def contradict(one: set[Any], other: set[Any]) -> bool:
    """Both are known, and nothing of the one is of the other."""
    return bool(one) and bool(other) and not one & other


def _all(customer: RegisteredCustomer, field: str) -> set[Any]:
    return {getattr(f, field) for f in customer.facts.values()} - {None}


def _groups(customer: RegisteredCustomer) -> set[str]:
    return {d.product_group for f in customer.facts.values() for d in f.duties}


def _facts(kept: Facts, moved: Facts, survivor: RegisteredCustomer) -> Facts:
    values: dict[str, Any] = {f: getattr(moved, f) for f in _TAKEN if not getattr(kept, f)}
    values |= {f: True for f in _RESTRICTING if getattr(moved, f)}
    taken = {f: v for f, v in values.items() if v != getattr(kept, f)}
    if survivor.id in (taken.get("organisation"), taken.get("person")):
        raise refused("into", "must be neither the organisation nor the person of the other customer")
    at = {**kept.at, **{f: t for f, t in moved.at.items() if f in taken}}
    return replace(kept, **taken, at=at, taken_back=(*kept.taken_back, *moved.taken_back))


def _points(survivor: RegisteredCustomer, duplicate: RegisteredCustomer) -> Iterable[Point]:
    """An address of both is one contact point, known from both. Of a task only where both say so."""
    moved = {p.key: p for p in duplicate.points}
    for point in survivor.points:
        same = moved.pop(point.key, None)
        yield (
            replace(point, statements=_point_statements(point.statements, same.statements)) if same else point
        )
    yield from moved.values()


def _point_statements(
    one: dict[str, PointStatement], other: dict[str, PointStatement]
) -> dict[str, PointStatement]:
    sides = (one, other)
    return {s: _joined([c[s] for c in sides if s in c]) for s in sorted({*one, *other})}


def _joined(statements: list[PointStatement]) -> PointStatement:
    said = {c.role_address for c in statements}
    role = statements[0].role_address if len(said) == 1 else False
    return PointStatement(role, tuple(sorted({s for c in statements for s in c.sales})))
