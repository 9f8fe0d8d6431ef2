"""Decisions on their way, as Server-Sent Events (WHATWG HTML, section 9.2)."""

import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field

from kielto.service.http.problem import ProblemError
from kielto.service.http.strict_route import StrictRoute
from kielto.service.support.limits import FIXED
from services.consents.api.callers import Prover
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.live_feed import (
    FeedEvent,
    FeedState,
    Live,
    TooManyStreamsError,
    Watcher,
)

STREAM_SECONDS = FIXED.stream_seconds
"""Then it is asked for anew, with a token that still holds."""


class ToldBody(BaseModel):
    state: FeedState
    decision: str | None = Field(
        description="Our id; to a company its reference, of decisions that it brought itself."
    )
    reference: str | None = Field(description="The calling company's own reference of the decision.")
    subscriber: str | None
    at: datetime | None = Field(
        description="accepted: of the receipt, by our clock or the broker's; else the broker's, of the acknowledgement."
    )


def router(live: Live, context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents/proof", tags=["proof"])

    async def watching(
        caller: Prover, last_event_id: Annotated[str | None, Header(max_length=80)] = None
    ) -> AsyncIterator[tuple[Watcher, str | None]]:
        try:
            with live.watch(caller.party, last_event_id) as watcher:
                yield watcher, caller.party
        except TooManyStreamsError as full:
            status = 429 if full.own else 503
            title = "Too many open streams; close one or retry later"
            raise ProblemError(status, "too-many-watchers", title, headers={"Retry-After": "30"}) from None

    @routes.get("/live", response_class=EventSourceResponse)
    async def get(
        watching: Annotated[tuple[Watcher, str | None], Depends(watching)],
    ) -> AsyncIterator[ServerSentEvent]:
        """From now on: one event when a decision is accepted, applied at a subscriber, and complete.

        Begins anew after 15 minutes or when the reader is too slow; `Last-Event-ID` brings what was missed, or a `gap`:
        then ask for what is overdue.
        """
        watcher, whose = watching
        until = time.monotonic() + STREAM_SECONDS
        try:
            await watcher.begun(STREAM_SECONDS)
        except TimeoutError:
            return
        yield ServerSentEvent(comment="watching", retry=1000)
        while (left := until - time.monotonic()) > 0:
            try:
                told = await watcher.next(left)
            except TimeoutError:
                return
            if told is None:
                return
            yield ServerSentEvent(
                event=told.state, id=live.ident(told, whose), data=_body(context, told, whose)
            )

    return routes


def _body(context: Context, told: FeedEvent, party: str | None) -> ToldBody:
    gap = told.state is FeedState.GAP
    return ToldBody(
        state=told.state,
        decision=None if gap else context.named(party, told.decision),
        reference=context.named(party, told.decision) if party and not gap else None,
        subscriber=told.subscriber,
        at=told.at,
    )
