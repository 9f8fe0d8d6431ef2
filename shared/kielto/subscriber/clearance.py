"""Clearances: ask the gate, then the consents service, and the gate again at each hand-over.

An answer is valid from just before its request was sent, by `clock`. It includes every decision that consents had
accepted by then, however long the answer takes. A lost answer clears nobody.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from kielto.clock import clock
from kielto.subscriber.gate.questions import Answer, Question, Reason

BATCH = 4000
"""Recipients of one request; so many fit into the largest body that consents accepts."""
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
    """Where to request clearances, and as whom.

    `url`: the address of the consents service, without `/consents`. `token`: returns a bearer token with the role
    `campaigns` for the company; it is called before each request, and what it raises reaches the caller of `clear`.
    `client`: an HTTP client with proxies or certificates of your own.
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
        """Request clearance for the questions that `may` permits.

        Errors of the network and of the service do not raise: nobody in that batch is cleared. `campaign`: the id of
        the campaign in marketing, if it has one, so that delivery reports can be matched with the clearance. Batches
        of 4,000 are requested one after the other, and each is valid for some seconds. So ask for as many as you can
        hand over in that time: in a longer list the first ones expire before the last are answered.
        """
        given: dict[Question, _ClearanceGiven] = {}
        asked: dict[tuple[tuple[str, str], ...], list[Question]] = {}
        for question in dict.fromkeys(questions):
            answer = may(question)
            if answer:
                asked.setdefault(_terms(question), []).append(question)
            else:
                given[question] = _ClearanceGiven(answer, 0.0)
        for terms, alike in asked.items():
            for start in range(0, len(alike), BATCH):
                given.update(await self._ask(dict(terms), alike[start : start + BATCH], campaign))
        return Cleared(may, given, self._now)

    async def _ask(
        self, terms: Mapping[str, str], batch: Sequence[Question], campaign: str
    ) -> Mapping[Question, _ClearanceGiven]:
        headers = {"Authorization": f"Bearer {await self._token()}"}
        sent = self._now()
        try:
            response = await self._client.post(
                self._url,
                json={"campaign": campaign, **terms, "recipients": [_recipient(q) for q in batch]},
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
        yes, no = Answer(True, Reason.ALLOWED), "the clearance says so"
        return {
            question: _ClearanceGiven(yes if r.allowed else Answer(False, r.reason, no), until, found.id)
            for question, r in zip(batch, found.results, strict=True)
        }


class Cleared:
    """The answers of one `clear`. Ask `may` again when each message is handed over."""

    def __init__(
        self,
        may: Callable[[Question], Answer],
        given: Mapping[Question, _ClearanceGiven],
        now: Callable[[], float],
    ) -> None:
        self._may, self._given, self._now = may, given, now

    def may(self, question: Question) -> Answer:
        """Whether the message may be handed over now: it is cleared, the gate still permits it, and it has not expired.

        Ask directly before the hand-over. Never raises.
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
        """The id of the clearance that answered the question, for the sender's own records."""
        given = self._given.get(question)
        return None if given is None else given.clearance


def _terms(question: Question) -> tuple[tuple[str, str], ...]:
    """The fields that a request has once for all of its recipients, by name."""
    names = ("purpose", "channel", "partner", "mode", "product_group")
    return tuple((name, given) for name in names if (given := getattr(question, name)) is not None)


def _recipient(question: Question) -> dict[str, str]:
    """As in the gate, the customer's id takes precedence over a number."""
    named = {"customer": question.customer, "address": question.address}
    if question.customer is None:
        named["number"] = question.number
    return {name: value for name, value in named.items() if value is not None}


def _nobody(batch: Sequence[Question], why: str) -> Mapping[Question, _ClearanceGiven]:
    return dict.fromkeys(batch, _ClearanceGiven(Answer(False, Reason.NOT_CLEARED, why), 0.0))


def _slug(response: httpx.Response) -> str:
    """The last part of the problem's type, such as `subscriber-overdue`."""
    try:
        kind = response.json()["type"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {kind.rpartition(':')[2][:60]}" if isinstance(kind, str) else ""
