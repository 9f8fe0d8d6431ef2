"""What a desk says that is not taken leaves no trace: nothing denied, nothing on disk."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from kielto.events.messages import Decision, DecisionSubject
from kielto.events.party import Party
from kielto.events.words import Act, Channel, Purpose, Reach
from kielto.subscriber.gate.gate import FollowedParty
from kielto.subscriber.gate.local_denials import Denials
from kielto.subscriber.submit.decision import decide
from kielto.subscriber.submit.sender import Submitting
from kielto.subscriber.submit.spool import Spool
from kielto.subscriber.support.brokers import Brokers
from tests.unit.subscriber.logs import NOW, hexes

KEYS = {1: b"k" * 32}


def said(act: Act = Act.BAN, **given: Any) -> Decision:
    fields = {"id": UUID(int=7), "subject": DecisionSubject(id=hexes("a")), "said_at": NOW}
    return Decision(act=act, **(fields | given))


class SpooledDesk:
    def __init__(self, folder: Path, party: str) -> None:
        self.spool, self.denials = Spool(folder / "spool"), Denials("decisions")
        followed = FollowedParty(Party(party), KEYS)
        self.submitting = Submitting(Brokers(""), followed, self.spool, self.denials)

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
    desk = SpooledDesk(tmp_path, party)
    with pytest.raises(ValueError, match=f"^{field}: "):
        await desk.says(decision)
    assert (len(desk.denials), desk.spool.all()) == (0, [])


async def test_a_no_under_the_id_of_a_yes(tmp_path: Path) -> None:
    desk = SpooledDesk(tmp_path, "company.kauppa")
    yes = said(Act.CONSENT, purposes=(Purpose.OWN_MARKETING,), channels=(Channel.EMAIL,))
    await desk.says(yes)
    with pytest.raises(ValueError, match=r"^id: "):
        await desk.says(said())
    assert len(desk.denials) == 0
    assert [s.decision for s in desk.spool.all()] == [yes]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"act": "stop"}, "act: must be one of 'ban', 'opt_out'"),
        ({"reach": "everywhere"}, "reach: must be one of 'group', 'company'"),
        ({"purposes": ("own-marketing",)}, "purposes: must be one of 'own_marketing'"),
        ({"channels": ("fax",)}, "channels: must be one of 'email'"),
        ({"by": "robot"}, "by: must be one of 'person'"),
        ({"partner": "Matkat Oy"}, "partner: has characters or a form that"),
        ({"said_at": "yesterday"}, "said_at: must be a time with a time zone"),
        ({"said_at": NOW.replace(tzinfo=None)}, "said_at: must be a time with a time zone"),
        ({"evidence": "x" * 3000}, "evidence: must have at most 2000 characters"),
        ({"id": "7"}, "id: must be a UUID"),
        ({"route": 7}, "route: must be text"),
    ],
)
def test_a_field_that_breaks_a_rule_is_named_in_plain_words(given: dict[str, Any], words: str) -> None:
    right = {"id": UUID(int=7), "act": "ban", "said_at": NOW}
    with pytest.raises(ValueError, match="^" + words) as error:
        decide(FollowedParty(Party("company.kauppa"), KEYS), right | given, hexes("a"), None, None, None)
    assert "_error" not in str(error.value)


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ({"phone": 401234567}, "phone: must be text"),
        ({"email": b"a@example.com"}, "email: must be text"),
        ({"number": 17}, "number: must be text"),
        ({"number": "  "}, "number: must have printable characters other than white space"),
        ({"number": "a\x00"}, "number: must have printable characters other than white space"),
        ({"number": "000"}, "number: must be a customer's number"),
        ({"email": ""}, "email: must have 1 to 320 characters"),
    ],
)
def test_whom_it_is_about_is_named_in_plain_words(who: dict[str, Any], words: str) -> None:
    given = {"customer": None, "number": None, "email": None, "phone": None} | who
    with pytest.raises(ValueError, match="^" + words):
        decide(
            FollowedParty(Party("company.kauppa"), KEYS),
            {"id": UUID(int=7), "act": "ban", "said_at": NOW},
            *given.values(),
        )


def test_a_customers_id_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"^customer: must be 64 hexadecimal digits"):
        decide(
            FollowedParty(Party("company.kauppa"), KEYS),
            {"id": UUID(int=7), "act": "ban", "said_at": NOW},
            "x",
            None,
            None,
            None,
        )
