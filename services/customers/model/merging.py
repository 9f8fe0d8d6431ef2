"""Two customers who turn out to be one. Pure: nothing is read, nothing is written."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from services.customers.model.changing import check
from services.customers.model.customer import Customer, Point
from services.customers.model.problems import Problem, Refused

_TAKEN = ("name", "language", "identity", "business_id", "birth_date")
"""What the survivor takes over where it has none."""
_RESTRICTING = ("minor", "deceased", "safety_ban")
"""What holds when it is known of either: the death wins, and so do the others."""


def merge(survivor: Customer, duplicate: Customer) -> Customer:
    """`survivor` with what `duplicate` had. Raises Refused when they cannot be one."""
    if problems := [*_differences(survivor, duplicate)]:
        raise Refused(problems)
    values: dict[str, Any] = {f: getattr(duplicate, f) for f in _TAKEN if getattr(survivor, f) is None}
    values |= {f: True for f in _RESTRICTING if getattr(duplicate, f)}
    taken = {f for f, value in values.items() if value != getattr(survivor, f)}
    merged = replace(
        survivor,
        **values,
        points=tuple(_points(survivor, duplicate)),
        customerships=tuple(
            sorted(survivor.customerships + duplicate.customerships, key=lambda c: c.canonical)
        ),
        sources=survivor.sources | {f: s for f, s in duplicate.sources.items() if f in taken},
        aliases=tuple(sorted({*survivor.aliases, *duplicate.aliases, duplicate.id})),
    )
    check(merged)
    return merged


def _differences(one: Customer, other: Customer) -> Iterable[Problem]:
    """What one person, or one organisation, has only one of. Nobody guesses which of two is right."""
    if one.recipient != other.recipient:
        yield Problem("recipient", "is the same of both")
    for field in ("identity", "business_id", "birth_date"):
        values = {getattr(one, field), getattr(other, field)} - {None}
        if len(values) > 1:
            name = "identity_code" if field == "identity" else field
            yield Problem(name, "is the same of both, or known of one: take the wrong one away first")
    if one.organisation != other.organisation:
        yield Problem("organisation", "is the same of both: a contact person is one of each organisation")
    # Duties allow what needs consent outside them: neither may widen the other's.
    if {d.product_group for d in one.duties} != {d.product_group for d in other.duties}:
        yield Problem(
            "duties", "have the same product groups at both: a contact person is one of each duty area"
        )


def _points(survivor: Customer, duplicate: Customer) -> Iterable[Point]:
    """An address of both is one contact point, known from both. Of a task only where both say so."""
    moved = {p.key: p for p in duplicate.points}
    for point in survivor.points:
        same = moved.pop(point.key, None)
        yield _joined(point, same) if same else point
    yield from moved.values()


def _joined(point: Point, same: Point) -> Point:
    return replace(
        point,
        role_address=point.role_address and same.role_address,
        sales=tuple(sorted({*point.sales, *same.sales})),
        holders=tuple(sorted({*point.holders, *same.holders})),
    )
