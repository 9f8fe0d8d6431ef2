"""A *no* on a party's topic of which a word cannot be read: taken for the widest that it may mean.

Nobody can be asked what was meant, and what is put aside binds nobody. So of a known *no* each field that breaks
a rule is read as if it limited nothing; the rules that were broken are shown with the decision (`widened`). What
says no known *no*, or not whom it is about, stays unreadable. A *yes* is never read so.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from kielto.events.words import Act, Channel, PointKind, Purpose, Reach

_ID = uuid5(NAMESPACE_OID, "kielto decision without a readable id")
EVIDENCE = 2000
"""Characters of it that are kept."""
ATTEMPTS = 3
"""One broken rule may hide another."""
UNKNOWN_TIME = "1970-01-01T00:00:00Z"


def is_no(content: object) -> bool:
    return isinstance(content, dict) and content.get("act") in [a.value for a in Act if a.restricts]


def widest(content: dict[str, Any], broken: Iterable[str]) -> dict[str, Any]:
    """`content` with each of the `broken` fields (of the outermost level) at the widest that it may mean."""
    wide = dict(content)
    for field in broken:
        _WIDEST.get(field, _left_out(field))(wide)
    return wide


Change = Callable[[dict[str, Any]], None]


def _left_out(field: str) -> Change:
    def change(wide: dict[str, Any]) -> None:
        wide.pop(field, None)

    return change


def _id(wide: dict[str, Any]) -> None:
    """The same for the same message, so that it is taken once."""
    named = json.dumps(wide.get("id", wide), sort_keys=True, default=str)
    wide["id"] = str(uuid5(_ID, named))


def _subject(wide: dict[str, Any]) -> None:
    """The digest says whose point it is; its kind is only how it is shown."""
    subject = wide.get("subject")
    if isinstance(subject, dict):
        named = {k: v for k, v in subject.items() if k in ("id", "number", "point") and v is not None}
        wide["subject"] = named | ({"point_kind": PointKind.EMAIL.value} if "point" in named else {})


def _reach(wide: dict[str, Any]) -> None:
    wide["reach"] = Reach.GROUP.value
    wide.pop("partner", None)


def _partner(wide: dict[str, Any]) -> None:
    """One that is none: all partners, unless the reach says more."""
    wide.pop("partner", None)
    if wide.get("reach") in (None, Reach.PARTNER.value):
        wide["reach"] = Reach.PARTNERS.value
    elif wide["reach"] == Reach.COMPANY.value:
        wide["reach"] = Reach.GROUP.value


def _purposes(wide: dict[str, Any]) -> None:
    """It may be the company's own marketing, too, which no reach of partners bears on."""
    wide["purposes"] = [p.value for p in Purpose]
    partners = (Reach.PARTNER.value, Reach.PARTNERS.value)
    unsaid = wide.get("reach") is None and (wide.get("partner") or wide["act"] == Act.OPT_OUT.value)
    if wide.get("reach") in partners or unsaid:
        _reach(wide)


def _channels(wide: dict[str, Any]) -> None:
    """All, not those of the route alone."""
    wide["channels"] = [c.value for c in Channel]


def _evidence(wide: dict[str, Any]) -> None:
    text = wide.get("evidence")
    wide["evidence"] = text[:EVIDENCE] if isinstance(text, str) else None


def _said_at(wide: dict[str, Any]) -> None:
    """Whoever reads it takes the broker's time instead."""
    wide["said_at"] = UNKNOWN_TIME


_WIDEST: dict[str, Change] = {
    "id": _id,
    "subject": _subject,
    "reach": _reach,
    "partner": _partner,
    "purposes": _purposes,
    "channels": _channels,
    "evidence": _evidence,
    "said_at": _said_at,
}
