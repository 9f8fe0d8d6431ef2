"""Clearance: the gate, then consents itself, then both again at hand-over.

An answer of consents counts from just before its request was sent, by `clock`: a decision that was
acknowledged before then is in it, however long the answer takes. A lost answer clears nobody.
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from kielto.subscriber.clock import clock
from kielto.subscriber.gate.questions import Answer, Question, Reason

BATCH = 4000
"""Recipients of one request: a whole batch then fits into the body that consents takes."""
_PATH = "/consents/clearances"


class _Result(BaseModel):
    allowed: bool
    reason: Reason


class _Clearance(BaseModel):
    id: UUID
    valid_seconds: float
    results: list[_Result]


class _ClearanceGiven(NamedTuple):
    """`until`: on `clock`."""

    answer: Answer
    until: float
    clearance: UUID | None = None


class Clearance:
    """Where clearances are asked for, and as whom.

    `url`: of the consents service, without a path of its own. `token`: gives a bearer token with the role
    `campaigns` and the company, asked for before each request; what it raises goes to the caller of `clear`.
    `client`: for proxies and certificates; else one of its own.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], Awaitable[str]],
        *,
        client: httpx.AsyncClient | None = None,
        timeout_seconds: float = 10.0,
        now: Callable[[], float] = clock,
    ) -> None:
        self._url, self._token, self._now = url.rstrip("/") + _PATH, token, now
        self._timeout = timeout_seconds
        self._own = client is None
        self._client = client or httpx.AsyncClient()

    async def close(self) -> None:
        if self._own:
            await self._client.aclose()

    async def clear(
        self, may: Callable[[Question], Answer], questions: Iterable[Question], campaign: str
    ) -> "Cleared":
        """Never raises for what the network or the service does: whom they did not clear is not cleared.

        `campaign`: the id of marketing's campaign, if it is one: a delivery report excuses itself by nothing else.
        Batches of 4,000 are asked one after the other and each is good for seconds, so ask for as many as can be
        handed over by then: of a longer list the first have run out when the last are answered.
        """
        given: dict[Question, _ClearanceGiven] = {}
        asked: dict[tuple[object, ...], list[Question]] = {}
        for question in dict.fromkeys(questions):
            answer = may(question)
            if answer:
                asked.setdefault(_terms(question), []).append(question)
            else:
                given[question] = _ClearanceGiven(answer, 0.0)
        for alike in asked.values():
            for batch in _batches(alike):
                given.update(await self._ask(batch, campaign))
        return Cleared(may, given, self._now)

    async def _ask(self, batch: Sequence[Question], campaign: str) -> Mapping[Question, _ClearanceGiven]:
        headers = {"Authorization": f"Bearer {await self._token()}"}
        sent = self._now()
        try:
            response = await self._client.post(
                self._url,
                json={"campaign": campaign, **_asked(batch)},
                headers=headers,
                timeout=self._timeout,
                follow_redirects=False,
            )
            if response.status_code != httpx.codes.OK:
                return _nobody(batch, f"the service answered {response.status_code}{_slug(response)}")
            found = _Clearance.model_validate_json(response.content)
        except (httpx.HTTPError, ValidationError, OSError) as error:
            return _nobody(batch, f"no answer: {type(error).__name__}")
        if len(found.results) != len(batch):
            return _nobody(batch, "the answer has another number of results than the request")
        until = sent + found.valid_seconds
        return {
            question: _ClearanceGiven(_answer(result), until, found.id)
            for question, result in zip(batch, found.results, strict=True)
        }


class Cleared:
    """What was cleared, to be asked again as each message is handed over."""

    def __init__(
        self,
        may: Callable[[Question], Answer],
        given: Mapping[Question, _ClearanceGiven],
        now: Callable[[], float],
    ) -> None:
        self._may, self._given, self._now = may, given, now

    def may(self, question: Question) -> Answer:
        """Whether the message may be handed over now: cleared, the gate still open and allowing, and not run out.

        Never raises. Ask it in the same breath as the hand-over.
        """
        given = self._given.get(question)
        if given is None:
            return Answer(False, Reason.NOT_CLEARED, "no clearance was requested for it")
        if not given.answer:
            return given.answer
        answer = self._may(question)
        if not answer:
            return answer
        if self._now() >= given.until:  # last, so that nothing slow comes after it
            return Answer(False, Reason.CLEARANCE_OVER)
        return given.answer

    def clearance(self, question: Question) -> UUID | None:
        """The id of the recorded clearance that answered, for the sender's own records."""
        given = self._given.get(question)
        return None if given is None else given.clearance


def _terms(question: Question) -> tuple[object, ...]:
    """What a request says once for all of its recipients."""
    return (
        question.purpose,
        question.channel,
        question.partner,
        question.mode,
        question.product_group,
    )


def _batches(questions: list[Question]) -> Iterator[list[Question]]:
    for start in range(0, len(questions), BATCH):
        yield questions[start : start + BATCH]


def _asked(batch: Sequence[Question]) -> dict[str, object]:
    names = ("purpose", "channel", "partner", "mode", "product_group")
    terms = {name: value for name, value in zip(names, _terms(batch[0]), strict=True) if value is not None}
    return terms | {"recipients": [_recipient(question) for question in batch]}


def _recipient(question: Question) -> dict[str, str]:
    """The gate takes the customer's id where both it and a number are given."""
    named = {"customer": question.customer, "address": question.address}
    if question.customer is None:
        named["number"] = question.number
    return {name: value for name, value in named.items() if value is not None}


def _answer(result: _Result) -> Answer:
    if result.allowed:
        return Answer(True, Reason.ALLOWED)
    return Answer(False, result.reason, "the clearance says so")


def _nobody(batch: Sequence[Question], why: str) -> Mapping[Question, _ClearanceGiven]:
    return dict.fromkeys(batch, _ClearanceGiven(Answer(False, Reason.NOT_CLEARED, why), 0.0))


def _slug(response: httpx.Response) -> str:
    """The problem's own name, such as `subscriber-overdue`."""
    try:
        kind = response.json()["type"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {kind.rpartition(':')[2][:60]}" if isinstance(kind, str) else ""
