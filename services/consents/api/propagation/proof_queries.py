"""Which subscribers are late with which decisions; a company's token sees its own."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from kielto.events.party import Party
from kielto.service.http.strict_route import StrictRoute
from services.consents.api.callers import Behind, Limit, Prover, cursor_behind, place_of
from services.consents.api.problems import answered, invalid
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.overdue import Late, Standing, Week, late, standing, travel

_WEEKS = 12
_TAG = b"overdue."


class LateAt(BaseModel):
    subscriber: str
    party: str
    since: datetime = Field(
        description="When the deadline began to run: the receipt, or a fact that came later."
    )
    overdue_seconds: float = Field(description="How long ago the deadline passed, by our clock.")


class LateBody(BaseModel):
    decision: str | None = Field(
        description="Our id; to a company its reference, of decisions that it brought itself."
    )
    reference: str | None = Field(description="The calling company's own reference of the decision.")
    received_at: datetime = Field(description="By our clock; of a decision from a topic, the broker's.")
    missing_at: list[LateAt]


class OverdueBody(BaseModel):
    decisions: list[LateBody] = Field(description="The oldest receipts first.")
    next: str | None = Field(
        description="`after` of the next page; null: this was the last, of the oldest 5000 records that each "
        "subscriber lacks in each partition."
    )


class TravelBody(BaseModel):
    """Seconds from receipt (our clock, or the broker's) to the broker's time of the acknowledgement."""

    week: str = Field(examples=["2026-W47"])
    party: str
    subscriber: str | None = Field(description="Null: all subscribers of the party together.")
    decisions: int = Field(description="Decisions times subscribers that were measured.")
    one_in: int = Field(
        description="1: all decisions of the week were measured; k: every k-th, by a hash of its id."
    )
    p50: float
    p95: float
    p99: float
    max: float


class PropagationBody(BaseModel):
    weeks: list[TravelBody]


AWeek = Annotated[
    str | None, Query(pattern=r"^[0-9]{4}-W[0-9]{2}$", description="An ISO week (UTC), as 2026-W47.")
]


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents", tags=["proof"])

    @routes.get("/subscribers/{ident}", response_model=Standing)
    async def one(ident: str, caller: Prover) -> Standing:
        """How far it is in each partition, which instances it has, and how late it is."""
        with answered():
            return await standing(context, ident, caller.party)

    @routes.get("/subscribers/{ident}/overdue", response_model=OverdueBody)
    async def missing(ident: str, caller: Prover, after: Behind = None, limit: Limit = 100) -> OverdueBody:
        """What it has not applied by its deadline, the oldest first."""
        with answered():
            found = await late(context, caller.party, ident, place_of(context, _TAG, after), limit)
        return _overdue(context, found, caller.party, limit)

    @routes.get("/proof/overdue", response_model=OverdueBody)
    async def overdue(caller: Prover, after: Behind = None, limit: Limit = 100) -> OverdueBody:
        """Every decision that some subscriber has not applied by its deadline, the oldest first."""
        found = await late(context, caller.party, None, place_of(context, _TAG, after), limit)
        return _overdue(context, found, caller.party, limit)

    @routes.get("/proof/propagation", response_model=PropagationBody)
    async def propagation(
        caller: Prover, first: AWeek = None, last: AWeek = None, company: str | None = None
    ) -> PropagationBody:
        """How long decisions took to every subscriber, by week and party: this week's, or those of up to 12 weeks."""
        if company:
            caller.must_act_for(company)
        asked = Party.company(company) if company else caller.party
        if asked not in (None, *context.group.parties):
            raise invalid("company", "must be a company of the group")
        rows = await travel(context, asked, _weeks(context.clock(), first, last))
        return PropagationBody(
            weeks=[
                TravelBody(
                    week=str(week),
                    **row._asdict(),
                    **dict(zip(("p50", "p95", "p99", "max"), row.seconds, strict=True)),
                )
                for week, row in rows
            ]
        )

    return routes


def _overdue(context: Context, found: list[Late], party: str | None, limit: int) -> OverdueBody:
    now = context.clock()
    bodies = [
        LateBody(
            decision=_named(context, one, party),
            reference=context.named(party, one.decision) if party else None,
            received_at=one.received_at,
            missing_at=[
                LateAt(
                    subscriber=s.id,
                    party=s.party,
                    since=o.since,
                    overdue_seconds=(now - o.since).total_seconds() - s.deadline_seconds,
                )
                for s, o in one.at
            ],
        )
        for one in found
    ]
    last = (found[-1].received_at, found[-1].decision) if len(found) == limit else None
    return OverdueBody(decisions=bodies, next=cursor_behind(context, _TAG, last) if last else None)


def _named(context: Context, one: Late, party: str | None) -> str | None:
    return context.named(party, one.decision) if party in (None, one.party) else None


def _weeks(now: datetime, first: str | None, last: str | None) -> list[Week]:
    this = Week.of(now)
    end = _week("last", last) if last else _week("first", first) if first else this
    begin = _week("first", first) if first else end
    weeks = (end.begin - begin.begin) // timedelta(days=7) + 1
    if not 1 <= weeks <= _WEEKS:
        raise invalid("last", f"must not be before first, and at most {_WEEKS} weeks after it")
    return [Week.of(begin.begin + timedelta(days=7 * n)) for n in range(weeks)]


def _week(field: str, text: str) -> Week:
    week = Week(int(text[:4]), int(text[6:]))
    try:
        if not 2000 <= week.begin.year <= 2200:
            raise ValueError
    except ValueError:
        raise invalid(field, "must be a week of its year, between 2000 and 2200") from None
    return week
