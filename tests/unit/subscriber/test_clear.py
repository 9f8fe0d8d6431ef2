"""Clearance as a sender uses it: what counts from when, what a lost answer is, and the look at hand-over."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import httpx
import pytest

from kielto.subscriber import Answer, Clearance, Cleared, MemoryStore, Question, Reason, Subscriber
from kielto.subscriber.clearance import BATCH

ID = UUID(int=5)
ALLOWED = Answer(True, Reason.ALLOWED)
ONE, TWO = (Question("own_marketing", "phone", number=n) for n in "12")


class ClearingSender:
    """Asks a service that answers by `handle`, 1.5 s after it was asked. The gate allows until told otherwise."""

    def __init__(self) -> None:
        self.now, self.requests = 100.0, list[dict[str, Any]]()
        self.gate = ALLOWED
        self.handle: Callable[[dict[str, Any]], httpx.Response] = self.allow
        self._http = httpx.AsyncClient(transport=httpx.MockTransport(self._serve))
        self.clearance = Clearance("https://consents/", self._token, client=self._http, now=lambda: self.now)

    async def _token(self) -> str:
        self.now += 1.0  # however slow it is, it is before the request
        return "secret"

    def _serve(self, request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "https://consents/consents/clearances"
        assert request.headers["authorization"] == "Bearer secret"
        self.now += 1.5
        self.requests.append(json.loads(request.content))
        return self.handle(self.requests[-1])

    def allow(self, asked: dict[str, Any]) -> httpx.Response:
        results = [{"allowed": True, "reason": "allowed"} for _ in asked["recipients"]]
        return httpx.Response(200, json={"id": str(ID), "valid_seconds": 10, "results": results})

    async def clear(self, *questions: Question) -> Cleared:
        return await self.clearance.clear(lambda _: self.gate, questions, "spring")

    async def close(self) -> None:
        await self._http.aclose()


@pytest.fixture
async def sender() -> AsyncIterator[ClearingSender]:
    sender = ClearingSender()
    yield sender
    await sender.close()


async def test_it_counts_from_when_the_request_was_sent(sender: ClearingSender) -> None:
    cleared = await sender.clear(ONE)  # sent at 101, answered at 102.5
    assert cleared.may(ONE) == ALLOWED
    assert cleared.clearance(ONE) == ID
    sender.now = 110.999
    assert cleared.may(ONE)
    sender.now = 111.0
    assert cleared.may(ONE) == Answer(False, Reason.CLEARANCE_OVER)


async def test_the_gate_is_asked_again_at_hand_over(sender: ClearingSender) -> None:
    cleared = await sender.clear(ONE)
    sender.gate = Answer(False, Reason.STALE)
    assert cleared.may(ONE).reason is Reason.STALE


async def test_it_runs_out_while_the_gate_is_asked(sender: ClearingSender) -> None:
    cleared = await sender.clear(ONE)

    def slow(_: Question) -> Answer:
        sender.now = 111.0
        return ALLOWED

    assert Cleared(slow, cleared._given, lambda: sender.now).may(ONE).reason is Reason.CLEARANCE_OVER


async def test_whom_the_gate_denies_is_not_asked_about(sender: ClearingSender) -> None:
    sender.gate = Answer(False, Reason.DENIED, "a decision that was submitted here denies it")
    cleared = await sender.clear(ONE)
    sender.gate = ALLOWED
    assert cleared.may(ONE).detail == "a decision that was submitted here denies it"
    assert sender.requests == []


async def test_the_service_says_no(sender: ClearingSender) -> None:
    results = [{"allowed": True, "reason": "allowed"}, {"allowed": False, "reason": "denied"}]
    body = {"id": str(ID), "valid_seconds": 10, "results": results}
    sender.handle = lambda _: httpx.Response(200, json=body)
    cleared = await sender.clear(ONE, TWO)
    assert [cleared.may(q).reason for q in (ONE, TWO)] == [Reason.ALLOWED, Reason.DENIED]


def lost(_: dict[str, Any]) -> httpx.Response:
    raise httpx.ReadTimeout("lost")


PROBLEM = {"type": "urn:kielto:problem:subscriber-overdue", "title": "x", "status": 409}


@pytest.mark.parametrize(
    ("handle", "detail"),
    [
        (lost, "no answer: ReadTimeout"),
        (lambda _: httpx.Response(409, json=PROBLEM), "the service answered 409: subscriber-overdue"),
        (lambda _: httpx.Response(502, text="<html>"), "the service answered 502"),
        (
            lambda _: httpx.Response(302, headers={"location": "https://elsewhere"}),
            "the service answered 302",
        ),
        (lambda _: httpx.Response(200, text="{"), "no answer: ValidationError"),
        (
            lambda _: httpx.Response(200, json={"id": str(ID), "valid_seconds": 10, "results": []}),
            "the answer has another number of results than the request",
        ),
    ],
)
async def test_without_an_answer_nobody_is_cleared(
    sender: ClearingSender, handle: Callable[[dict[str, Any]], httpx.Response], detail: str
) -> None:
    sender.handle = handle
    cleared = await sender.clear(ONE)
    assert cleared.may(ONE) == Answer(False, Reason.NOT_CLEARED, detail)
    assert cleared.may(TWO).reason is Reason.NOT_CLEARED


async def test_questions_alike_go_in_batches(sender: ClearingSender) -> None:
    people = [Question("own_marketing", "phone", number=str(n)) for n in range(BATCH + 1)]
    partners = Question(
        "partner_marketing",
        "email",
        customer="a" * 64,
        number="1",
        address="a@example.com",
        partner="matkat",
        mode="we_send",
        product_group="groceries",
    )
    cleared = await sender.clear(*people, partners, people[0])
    assert [len(r["recipients"]) for r in sender.requests] == [BATCH, 1, 1]
    assert sender.requests[-1] == {
        "campaign": "spring",
        "purpose": "partner_marketing",
        "channel": "email",
        "partner": "matkat",
        "mode": "we_send",
        "product_group": "groceries",
        "recipients": [{"customer": "a" * 64, "address": "a@example.com"}],
    }
    assert all(cleared.may(q) for q in (*people, partners))


async def test_a_subscriber_clears_through_its_own_gate(sender: ClearingSender) -> None:
    """It has not started, so its gate is shut: nobody is asked about."""
    known: dict[str, Any] = {
        "subscriber": "crm",
        "party": "company.kauppa",
        "bootstrap": "kafka:9092",
        "point_keys": {1: b"1" * 32},
    }
    kielto = Subscriber(**known, store=MemoryStore(), clearance=sender.clearance)
    cleared = await kielto.clear([ONE], campaign="spring")
    assert cleared.may(ONE).reason is Reason.STARTING
    assert sender.requests == []
    with pytest.raises(ValueError, match="clearance"):
        await Subscriber(**known, store=MemoryStore()).clear([ONE], campaign="spring")


@pytest.mark.parametrize("error", [httpx.ConnectError("down"), ConnectionRefusedError(), KeyError("token")])
async def test_what_the_token_raises_goes_to_the_caller(error: Exception) -> None:
    """Else a wrong secret would read as a service that is away, of which nobody has to do anything."""

    async def none() -> str:
        raise error

    clearance = Clearance("https://consents/", none)
    with pytest.raises(type(error)):
        await clearance.clear(lambda _: ALLOWED, [ONE], "spring")
    await clearance.close()
