"""An address that a thousand have, asked for ten thousand times in one batch, is judged once."""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kielto.events.words import Channel, Purpose
from kielto.subscriber.gate.questions import Question
from services.consents.model.clearance import ClearanceReason, ClearanceRequest
from services.consents.model.ref import Ref
from services.consents.settings import ConsentsSettings
from services.consents.store.clearances import Result
from services.consents.use_cases.clearances import clear as clearing
from services.consents.use_cases.clearances.clear import Wanted, clear
from services.consents.use_cases.context import Context

ASKED = ClearanceRequest("kauppa", "spring", "own_marketing", "email", None, None, None, "someone")


def wanted(ref: str, address: str | None, digest: bytes | None = None) -> Wanted:
    question = Question(Purpose.OWN_MARKETING, Channel.EMAIL, number="1", address=address)
    return Wanted(Ref(ref), question, digest, address)


async def test_who_is_asked_for_twice_is_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parts: list[list[Wanted]] = []

    async def part(
        _: Context, __: ClearanceRequest, some: list[Wanted], *___: Any
    ) -> tuple[datetime, list[Result]]:
        parts.append(some)
        reasons = (
            ClearanceReason.DENIED if one.digest == b"shared" else ClearanceReason.ALLOWED for one in some
        )
        return datetime.now(UTC), [
            Result(one.ref, reason, None) for one, reason in zip(some, reasons, strict=True)
        ]

    monkeypatch.setattr(clearing, "_clear_part", part)
    shared = [wanted("p:shared", f"{'A' if n % 2 else 'a'}@example.com", b"shared") for n in range(9_996)]
    others = [
        wanted("n:1", None),
        wanted("n:1", "one", b"one"),
        wanted("n:1", "two", b"two"),
        wanted("n:2", None),
    ]
    context = cast(Context, SimpleNamespace(settings=ConsentsSettings()))
    found = await clear(context, ASKED, [*shared, *others], asyncio.Semaphore(2))
    assert [len(part) for part in parts] == [5], "a number and each address with it are asked about apart"
    assert [one.reason for one in found.results] == [ClearanceReason.DENIED] * 9_996 + [
        ClearanceReason.ALLOWED
    ] * 4
