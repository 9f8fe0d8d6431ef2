"""What a decision did, and how much of it a party may be told."""

from collections.abc import Mapping
from typing import NamedTuple

from kielto.events.party import Party
from services.consents.model.decisions import PointSubject, RecordedDecision
from services.consents.model.ref import NamedSubject
from services.consents.use_cases.permissions.evaluate_people import PersonPermissions
from services.consents.use_cases.permissions.publish_records import Written


class DecisionOutcome(NamedTuple):
    decision: RecordedDecision
    subject: NamedSubject
    people: list[PersonPermissions]
    written: list[Written]
    coming: Mapping[str, int] | None = None
    """Of a decision about more than `MANY` customers: how many records of each party will show it."""
    repeats: bool = False
    """The decision is an earlier one, which says as much (`often.py`)."""

    @property
    def held(self) -> bool:
        return self.decision.held_at is not None

    @property
    def pending(self) -> bool:
        """It is about nobody whom we know yet."""
        return self.coming is None and not any(self.decision.id in one.direct for one in self.people)

    @property
    def by_address(self) -> bool:
        return isinstance(self.decision.subject, PointSubject)

    def pending_for(self, party: Party | None) -> bool:
        """It is about none of the party's own customers; None is ourselves."""
        return not self.records_of(party) if party else self.pending

    def written_for(self, party: Party | None) -> list[Written]:
        """Of a company only records of customers whom it named, by an address only where it has that; None: all.

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
