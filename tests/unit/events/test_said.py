"""Whether a decision's fields go together, for whoever writes it; and when two messages say the same."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from kielto.events.messages import Decision, DecisionSubject
from kielto.events.words import Act, Channel, PointKind, Purpose, Reach

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OWN = (Purpose.OWN_MARKETING,)
YES: dict[str, Any] = {"purposes": OWN, "channels": (Channel.EMAIL,)}
PARTNER: dict[str, Any] = {"reach": Reach.PARTNER, "partner": "matkat"}


def said(act: Act = Act.BAN, **given: Any) -> Decision:
    fields = {"id": UUID(int=7), "subject": DecisionSubject(id="a" * 64), "said_at": NOW}
    return Decision(act=act, **(fields | given))


@pytest.mark.parametrize(
    "decision",
    [
        said(),
        said(Act.OPT_OUT),
        said(Act.OPT_OUT, **PARTNER),
        said(partner="matkat"),
        said(reach=Reach.PARTNERS, purposes=(Purpose.DISCLOSURE, *OWN)),
        said(Act.CONSENT, **YES),
        said(Act.CONSENT, **PARTNER, purposes=(Purpose.PARTNER_MARKETING,), channels=(Channel.EMAIL,)),
        said(Act.LIFTING, lifts=("x",)),
    ],
)
def test_what_goes_together(decision: Decision) -> None:
    decision.must_make_sense()


@pytest.mark.parametrize(
    ("decision", "field"),
    [
        (said(reach=Reach.PARTNER), "partner"),
        (said(reach=Reach.GROUP, partner="matkat"), "partner"),
        (said(reach=Reach.COMPANY, partner="matkat"), "partner"),
        (said(reach=Reach.PARTNERS, partner="matkat"), "partner"),
        (said(reach=Reach.PARTNERS, purposes=OWN), "purposes"),
        (said(**PARTNER, purposes=OWN), "purposes"),
        (said(partner="matkat", purposes=OWN), "purposes"),
        (said(Act.OPT_OUT, purposes=OWN), "purposes"),
        (said(lifts=("x",)), "lifts"),
        (said(subject=DecisionSubject(point="a" * 64, point_kind=PointKind.POST)), "subject.point_kind"),
        (said(Act.CONSENT, **YES, by="staff"), "by"),
        (said(Act.CONSENT, **YES, reach=Reach.GROUP), "reach"),
        (said(Act.CONSENT, purposes=OWN), "channels"),
        (said(Act.CONSENT, channels=(Channel.EMAIL,)), "purposes"),
        (said(Act.CONSENT, purposes=(Purpose.DISCLOSURE,), channels=(Channel.EMAIL,)), "partner"),
        (said(Act.LIFTING), "lifts"),
    ],
)
def test_what_does_not(decision: Decision, field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        decision.must_make_sense()


def test_the_same_is_said_whenever_and_in_whatever_order() -> None:
    one = said(purposes=(Purpose.OWN_MARKETING, Purpose.DISCLOSURE))
    again = said(
        purposes=(Purpose.DISCLOSURE, Purpose.OWN_MARKETING), said_at=NOW + timedelta(1), evidence="again"
    )
    assert one.content() == again.content()


@pytest.mark.parametrize(
    "other",
    [
        {"act": Act.OPT_OUT},
        {"subject": DecisionSubject(id="b" * 64)},
        {"subject": DecisionSubject(number="a" * 64)},
        {"reach": Reach.COMPANY},
        {"partner": "matkat"},
        {"purposes": OWN},
        {"channels": (Channel.SMS,)},
        {"by": "staff"},
        {"route": "phone"},
    ],
)
def test_something_else_is_said(other: dict[str, Any]) -> None:
    assert said(**other).content() != said().content()
    assert said(Act.LIFTING, lifts=("x",)).content() != said(Act.LIFTING, lifts=("y",)).content()
