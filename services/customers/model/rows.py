"""A row of an import, from its bytes to a draft."""

import json
from dataclasses import replace
from datetime import date
from typing import Any, NamedTuple

from pydantic import ValidationError

from kielto.events.words import PointKind
from kielto.strict_json import loads
from kielto.validation import field_rules
from services.customers.model.draft import Draft, Terms, UnreadablePoint
from services.customers.model.given import GivenRow
from services.customers.model.reading import read_row

_KINDS = {kind.value: kind for kind in (PointKind.EMAIL, PointKind.PHONE, PointKind.POST)}


class ImportRow(NamedTuple):
    given: GivenRow
    places: list[int] | None = None
    """Where each of its points stood, when some were set aside."""
    aside: tuple[UnreadablePoint, ...] = ()


def shape(line: bytes) -> ImportRow:
    """A contact point whose value has no shape at all (a number instead of text, too long a postal code) is set
    aside as one that cannot be read is. Raises pydantic's ValidationError and NotJsonError.
    """
    content = loads(line)
    try:
        return ImportRow(GivenRow.model_validate(content))
    except ValidationError as error:
        aside = _shapeless(content, error)
        if not aside:
            raise
    points = content["points"]
    places = [i for i in range(len(points)) if i not in aside]
    given = GivenRow.model_validate(content | {"points": [points[i] for i in places]})
    return ImportRow(given, places, tuple(aside.values()))


def read(
    row: ImportRow, company: str, scope: str | None, terms: Terms, today: date, *, country: str | None = None
) -> Draft:
    """Raises CustomerRefusedError."""
    draft = read_row(row.given, company, scope, terms, today, country=country, places=row.places)
    return replace(draft, unreadable=(*row.aside, *draft.unreadable)) if row.aside else draft


def _shapeless(content: Any, error: ValidationError) -> dict[int, UnreadablePoint]:
    """The points that are set aside, by place; none, if anything else is wrong too."""
    found: dict[int, UnreadablePoint] = {}
    for broken in error.errors(include_input=False, include_url=False):
        match broken["loc"]:
            case ("points", int(i), "value" | "address" as part, *_):
                point = content["points"][i]
                kind = _KINDS.get(str(point.get("kind")))
                if kind is None:
                    return {}
                ((field, rule),) = field_rules([broken])
                found.setdefault(i, UnreadablePoint(kind, field, rule, json.dumps(point[part])))
            case _:
                return {}
    return found
