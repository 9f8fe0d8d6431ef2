"""What a decision did, how much of it a party may be told, and the receipt that its desk gets."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel, Field

from kielto.events.party import Party
from kielto.events.words import Channel, Purpose, Reach
from services.consents.model.decisions import PointSubject, RecordedDecision
from services.consents.model.ref import NamedSubject
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.words import in_words
from services.consents.use_cases.permissions.evaluate_people import PersonPermissions
from services.consents.use_cases.permissions.publish_records import Written, speaks_of

_LISTED = 100


class DecisionOutcome(NamedTuple):
    decision: RecordedDecision
    subject: NamedSubject
    people: list[PersonPermissions]
    written: list[Written]
    coming: Mapping[str, int] | None = None
    """For a decision about more than `MANY` customers: how many records of each party will show it."""
    repeats: bool = False
    """The decision is an earlier one, which says as much (`often.py`)."""

    @property
    def held(self) -> bool:
        return self.decision.held_at is not None

    @property
    def pending(self) -> bool:
        """Whether the decision is about nobody whom we know yet."""
        return self.coming is None and not any(self.decision.id in one.direct for one in self.people)

    @property
    def by_address(self) -> bool:
        return isinstance(self.decision.subject, PointSubject)

    def pending_for(self, party: Party | None) -> bool:
        """Whether the decision is about none of the party's own customers; `party` None is the group."""
        return not self.records_of(party) if party else self.pending

    def written_for(self, party: Party | None) -> list[Written]:
        """The records that the decision wrote; for a company only those of customers whom it named, by an address only
        if it has that address.

        The company is not told whom else the decision binds, and why.
        """
        if party is None:
            return self.written
        own = [w for w in self.written if w.family == party]
        if party.is_company:
            return [w for w in own if w.permissions.at(party.id).names(self.decision.id)]
        return [w for w in own if self.decision.id in w.permissions.direct]

    def records_of(self, party: Party | None) -> int:
        """The number of `written_for`, with those that will be written."""
        coming = (n for family, n in (self.coming or {}).items() if party in (None, family))
        return sum(coming) + len(self.written_for(party))

    def people_for(self, party: Party) -> list[PersonPermissions]:
        """Persons whom a company named, by an address only where it has that."""
        if self.coming is None:
            return [w.permissions for w in self.written_for(party)]
        return [one for one in self.people if one.at(party.id).names(self.decision.id)]


class Binds(BaseModel):
    """What was understood, to be read back to the person."""

    reach: Reach
    company: str | None
    partner: str | None
    purposes: list[Purpose]
    channels: list[Channel]
    in_words: str


class RecordVersion(BaseModel):
    family: str = Field(examples=["company.kauppa"])
    version: str = Field(examples=["1.7"])


class Affected(BaseModel):
    records: int
    versions: list[RecordVersion] = Field(
        description=f"The first {_LISTED}. None of an address to a company, nor where more than 100 customers are "
        "concerned: those are written in the seconds after the answer, and the decision holds at once."
    )


class DecisionReceipt(BaseModel):
    decision: str = Field(
        description="Our id; to a company its reference: it works wherever a decision is named."
    )
    reference: str | None = Field(description="The calling company's own reference of the decision.")
    status: str = Field(
        description="`in_force`, or `pending` while it is about nobody whom we know; to a company, about none of its "
        "own customers. `held`: above the rate of the company's *no*s about people who are none of its own, it denies "
        "at the company alone until the group's data protection officer releases it."
    )
    received_at: datetime
    effective_from: datetime
    binds: Binds
    affected: Affected
    remaining_restrictions: list[str] = Field(
        description="After a consent or a lifting: restrictions that still bind, by id or the company's reference."
    )
    clear_seconds: float | None = Field(
        description="Of a no: so long after this answer arrives, by whatever clock, every clearance that was given "
        "before it has run out. Letters, dialler lists and uploads have a point of no return of their own instead."
    )
    clear_by: datetime | None = Field(
        default=None,
        description="The same by the clock of `received_at`. Null in an answer that is given again: it has passed, or "
        "`clear_seconds` says.",
    )

    def once_committed(self, now: datetime) -> "DecisionReceipt":
        """The receipt with `clear_by`. A clearance that allows was asked for before this commit and expires
        `clear_seconds` after it was asked for, so only a time after the commit is late enough to count from.
        """
        if self.clear_seconds is None:
            return self
        return self.model_copy(update={"clear_by": now + timedelta(seconds=self.clear_seconds)})


def receipt(context: Context, outcome: DecisionOutcome, company: str | None) -> DecisionReceipt:
    """`company`: the caller's, which is told of its own records alone."""
    decision, party = outcome.decision, Party.company(company) if company else None
    # Of an address nothing tells a company whether others have it, too: how many are computed at once depends on them.
    written = [] if party and outcome.by_address else outcome.written_for(party)
    remaining = set() if decision.is_no else _remaining(context, outcome, party)
    return DecisionReceipt(
        decision=context.named(party, decision.id),
        reference=context.named(party, decision.id) if party else None,
        status="held" if outcome.held else "pending" if outcome.pending_for(party) else "in_force",
        received_at=decision.received_at,
        effective_from=decision.effective_from,
        binds=Binds(
            reach=decision.reach,
            company=decision.company,
            partner=decision.partner,
            purposes=sorted(decision.purposes),
            channels=sorted(decision.channels),
            in_words=in_words(decision, outcome.subject.kind, effective=_effective(outcome, company)),
        ),
        affected=Affected(
            records=outcome.records_of(party),
            versions=[RecordVersion(family=w.family, version=str(w.version)) for w in written[:_LISTED]],
        ),
        remaining_restrictions=sorted(context.named(party, r) for r in remaining),
        clear_seconds=context.settings.clearance_seconds if decision.is_no else None,
    )


def _effective(outcome: DecisionOutcome, company: str | None) -> bool:
    """Whether a yes allows anything, as far as the caller is told."""
    return any(
        ruling.allowed and outcome.decision.id in ruling.decisions and company in (None, cell.company)
        for one in outcome.people
        for cell, ruling in one.cells
    )


def _remaining(context: Context, outcome: DecisionOutcome, party: Party | None) -> set[UUID]:
    """The restrictions that remain; of a shared address only those that bind a customer of the party's own."""
    if party is None:
        return {r for one in outcome.people if outcome.decision.id in one.direct for r in one.restrictions}
    return {
        said.id
        for one in outcome.people_for(party)
        for said in one.decisions
        if said.id in one.at(party.id).restrictions and speaks_of(said, party, context.facts)
    }
