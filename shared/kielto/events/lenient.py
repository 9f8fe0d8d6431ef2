"""Reads a *no* with invalid fields: each of them gets the broadest meaning that it may have.

Nobody can be asked what was meant, and a message that is put aside would bind nobody. So an invalid field of a known
*no* limits nothing, and the broken rules are shown with the decision (`widened`). A message whose act is unknown, or
whose subject is not named, stays unreadable. A *yes* is never read this way.
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
    """Give each of the `broken` fields of the outermost level the broadest meaning that it may have."""
    wide = dict(content)
    for field in broken:
        if field in _WIDEST:
            _WIDEST[field](wide)
        else:
            wide.pop(field, None)
    return wide


def _id(wide: dict[str, Any]) -> None:
    """Derive the id from the message, so that a repeated message has the same one."""
    named = json.dumps(wide.get("id", wide), sort_keys=True, default=str)
    wide["id"] = str(uuid5(_ID, named))


def _subject(wide: dict[str, Any]) -> None:
    """Keep what names the subject. The kind of a point is only shown, so any kind will do."""
    subject = wide.get("subject")
    if isinstance(subject, dict):
        named = {k: v for k, v in subject.items() if k in ("id", "number", "point") and v is not None}
        wide["subject"] = named | ({"point_kind": PointKind.EMAIL.value} if "point" in named else {})


def _reach(wide: dict[str, Any]) -> None:
    wide["reach"] = Reach.GROUP.value
    wide.pop("partner", None)


def _partner(wide: dict[str, Any]) -> None:
    """An invalid partner means all partners, or the whole group if the reach is a company."""
    wide.pop("partner", None)
    if wide.get("reach") in (None, Reach.PARTNER.value):
        wide["reach"] = Reach.PARTNERS.value
    elif wide["reach"] == Reach.COMPANY.value:
        wide["reach"] = Reach.GROUP.value


def _purposes(wide: dict[str, Any]) -> None:
    """Any purpose may be meant, also the company's own marketing, which a reach of partners would exclude."""
    wide["purposes"] = [p.value for p in Purpose]
    partners = (Reach.PARTNER.value, Reach.PARTNERS.value)
    unsaid = wide.get("reach") is None and (wide.get("partner") or wide["act"] == Act.OPT_OUT.value)
    if wide.get("reach") in partners or unsaid:
        _reach(wide)


def _channels(wide: dict[str, Any]) -> None:
    """All channels, not only those of the route."""
    wide["channels"] = [c.value for c in Channel]


def _evidence(wide: dict[str, Any]) -> None:
    text = wide.get("evidence")
    wide["evidence"] = text[:EVIDENCE] if isinstance(text, str) else None


def _said_at(wide: dict[str, Any]) -> None:
    """The reader replaces it by the broker's time."""
    wide["said_at"] = UNKNOWN_TIME


_WIDEST: dict[str, Callable[[dict[str, Any]], None]] = {
    "id": _id,
    "subject": _subject,
    "reach": _reach,
    "partner": _partner,
    "purposes": _purposes,
    "channels": _channels,
    "evidence": _evidence,
    "said_at": _said_at,
}
