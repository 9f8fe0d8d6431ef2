"""A customer's record as it is stored (JSON, checked when it was taken in), turned into what the model knows."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Any
from uuid import UUID

from kielto.events.words import PointKind, Recipient, Status
from services.consents.model.facts import CustomerFacts, CustomershipFacts, PointFacts, SaleFacts, StatedFacts


def customer_of(ident: UUID, body: Mapping[str, Any] | None, alias_of: UUID | None = None) -> CustomerFacts:
    """The customer as the model sees it. Without a readable record (`body` None): no contact points, so nothing is
    allowed.

    `alias_of` may be known before the customer's own record says it.
    """
    if body is None:
        return CustomerFacts(ident, alias_of=alias_of)
    organisation = body.get("organisation")
    return CustomerFacts(
        id=ident,
        recipient=Recipient(body.get("recipient") or Recipient.NATURAL),
        status=Status(body.get("status", Status.LIVE)),
        alias_of=alias_of,
        deceased=body.get("deceased", False),
        minor=body.get("minor", False),
        safety_ban=body.get("safety_ban", False),
        organisation=UUID(organisation) if organisation else None,
        duties=frozenset(body.get("duties", ())),
        points=tuple(_point(p) for p in body.get("points", ())),
        customerships=tuple(
            CustomershipFacts(c["company"], c["digest"].encode(), c.get("active", True))
            for c in body.get("customerships", ())
        ),
        stated=tuple(_stated(s) for s in body.get("stated", ())),
        bound_by=tuple(UUID(other) for other in body.get("bound_by", ())),
    )


def _stated(body: Mapping[str, Any]) -> StatedFacts:
    recipient, organisation = body.get("recipient"), body.get("organisation")
    return StatedFacts(
        company=body["company"],
        recipient=Recipient(recipient) if recipient else None,
        organisation=UUID(organisation) if organisation else None,
        duties=frozenset(body.get("duties", ())),
    )


def _point(body: Mapping[str, Any]) -> PointFacts:
    digest = body.get("digest")
    return PointFacts(
        id=UUID(body["id"]),
        kind=PointKind(body["kind_of"]),
        ref=digest.encode() if digest else None,
        role_address=body.get("role_address", False),
        sales=tuple(sale for s in body.get("sales", ()) if (sale := _sale(s)) is not None),
        holders=frozenset(body.get("holders", ())),
        role_address_in=frozenset(body.get("role_address_in", ())),
    )


def _sale(body: Mapping[str, Any]) -> SaleFacts | None:
    """The sale; None without a valid date. Anything missing falls back to opt-in (917/2014 section 200(3))."""
    with suppress(ValueError):
        day = date.fromisoformat(body["date"])
        return SaleFacts(body["seller"], day, body["product_group"], body.get("ban_offered", False))
    return None
