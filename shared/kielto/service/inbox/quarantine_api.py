"""Messages in quarantine over HTTP: list, replay and discard them. A company sees those of its topics."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from kielto.events.base import Hash
from kielto.service.http.auth import Caller, RoleCheck
from kielto.service.http.openapi import Operation, Operations
from kielto.service.http.problem import ProblemError
from kielto.service.http.strict_route import Note, StrictRoute
from kielto.service.inbox.handlers import PermanentError
from kielto.service.inbox.quarantine import NotQuarantinedError, Quarantine, QuarantinedMessage

Officer = Annotated[Caller, Depends(RoleCheck("operator", "dpo"))]
State = Literal["open", "replayed", "discarded"]
Number = Annotated[int, Field(ge=0, lt=2**63)]
Ident = Number | Hash
"""The id of a message: a number for the group, the company's own id (64 hex digits) for a company, since numbers would
count everybody's messages.
"""


class MessageBody(BaseModel):
    id: int | str = Field(description="A number; for a company its own id (64 hex digits).")
    topic: str
    partition: int
    offset: int
    reason: str = Field(description="The field and the rule, without the content.")
    state: State
    at: datetime
    holds: bool = Field(
        description="Whether it may take a permission away; if so, whoever it may be about is denied while it is open."
    )


class MessagesBody(BaseModel):
    messages: list[MessageBody] = Field(description="The oldest first.")
    next: int | str | None = Field(description="`after` for the next page; null on the last page.")


class ClosingBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"reason": "the service understands such dates from 1.4 on"}]},
    )
    reason: Note = Field(description="Why, without personal data.")


def router(name: str, quarantine: Quarantine) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix=f"/{name}/quarantine", tags=["quarantine"])

    @routes.get("", response_model=MessagesBody)
    async def messages(
        caller: Officer,
        state: Annotated[State, Query()] = "open",
        after: Annotated[Ident, Query()] = 0,
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    ) -> MessagesBody:
        """List all messages; for a company's token those of its topics."""
        party = caller.party
        behind = 0 if after == 0 else _number(quarantine, party, after)
        found = await quarantine.listed(state, party=party, after=behind, limit=limit)
        bodies = [_shown(quarantine, party, kept) for kept in found]
        return MessagesBody(messages=bodies, next=bodies[-1].id if len(found) == limit else None)

    @routes.post("/{ident}/replay", status_code=204)
    async def replay(ident: Ident, body: ClosingBody, caller: Officer) -> None:
        """Give the message to the service again, after the cause was fixed."""
        await _close(quarantine, quarantine.replay, ident, body, caller)

    @routes.post("/{ident}/discard", status_code=204)
    async def discard(ident: Ident, body: ClosingBody, caller: Officer) -> None:
        """Discard the message: its content is deleted, and it denies nobody any longer."""
        await _close(quarantine, quarantine.discard, ident, body, caller)

    return routes


def operations(name: str) -> Operations:
    unknown = "404 unknown-message"
    return {
        f"GET /{name}/quarantine": Operation("listQuarantine"),
        f"POST /{name}/quarantine/{{ident}}/replay": Operation(
            "replayMessage", (unknown, "409 still-unreadable")
        ),
        f"POST /{name}/quarantine/{{ident}}/discard": Operation("discardMessage", (unknown,)),
    }


def _number(quarantine: Quarantine, party: str | None, given: int | str) -> int:
    """Of what is no id of the caller's: nobody's number."""
    if party is None:
        return given if isinstance(given, int) else _NOBODYS
    found = quarantine.keys.from_pairwise(party, given) if isinstance(given, str) else None
    return found.int if found is not None and found.int < 2**63 else _NOBODYS


_NOBODYS = 2**63 - 1


def _shown(quarantine: Quarantine, party: str | None, kept: QuarantinedMessage) -> MessageBody:
    ident = quarantine.keys.pairwise(party, UUID(int=kept.id)) if party else kept.id
    return MessageBody(**asdict(kept) | {"id": ident})


async def _close(
    quarantine: Quarantine,
    close: Callable[..., Awaitable[None]],
    ident: Ident,
    body: ClosingBody,
    caller: Caller,
) -> None:
    number = _number(quarantine, caller.party, ident)
    try:
        await close(number, by=caller.subject, note=body.reason, party=caller.party)
    except NotQuarantinedError:
        raise ProblemError(404, "unknown-message", "There is no such open message") from None
    except PermanentError as error:
        raise ProblemError(
            409, "still-unreadable", f"The message still cannot be applied: {error.reason}"
        ) from None
