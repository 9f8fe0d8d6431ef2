"""What a desk says that is not taken leaves no trace: nothing denied, nothing on disk."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from kielto.events.messages import Decision, DecisionSubject
from kielto.events.words import Act, Channel, Purpose, Reach
from kielto.subscriber.denials import Denials
from kielto.subscriber.gate import Party
from kielto.subscriber.spool import Spool
from kielto.subscriber.submit import Submitting
from tests.unit.subscriber.logs import NOW, hexes

KEYS = {1: b"k" * 32}


def said(act: Act = Act.BAN, **given: Any) -> Decision:
    fields = {"id": UUID(int=7), "subject": DecisionSubject(id=hexes("a")), "said_at": NOW}
    return Decision(act=act, **(fields | given))


class Desk:
    def __init__(self, folder: Path, party: str) -> None:
        self.spool, self.denials = Spool(folder / "spool"), Denials("decisions")
        self.submitting = Submitting("", Party(party, KEYS), "decisions", self.spool, self.denials)

    async def says(self, decision: Decision) -> None:
        await self.submitting.submit("k", decision, None)


@pytest.mark.parametrize(
    ("party", "decision", "field"),
    [
        ("company.kauppa", said(reach=Reach.PARTNER), "partner"),
        ("company.kauppa", said(Act.OPT_OUT, purposes=(Purpose.OWN_MARKETING,)), "purposes"),
        ("partner.matkat", said(reach=Reach.COMPANY), "reach"),
        ("partner.matkat", said(subject=DecisionSubject(number=hexes("n"))), "number"),
    ],
)
async def test_what_cannot_be_meant(tmp_path: Path, party: str, decision: Decision, field: str) -> None:
    desk = Desk(tmp_path, party)
    with pytest.raises(ValueError, match=f"^{field}: "):
        await desk.says(decision)
    assert (len(desk.denials), desk.spool.all()) == (0, [])


async def test_a_no_under_the_id_of_a_yes(tmp_path: Path) -> None:
    desk = Desk(tmp_path, "company.kauppa")
    yes = said(Act.CONSENT, purposes=(Purpose.OWN_MARKETING,), channels=(Channel.EMAIL,))
    await desk.says(yes)
    with pytest.raises(ValueError, match=r"^id: "):
        await desk.says(said())
    assert len(desk.denials) == 0
    assert [s.decision for s in desk.spool.all()] == [yes]
