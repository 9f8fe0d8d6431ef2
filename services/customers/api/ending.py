"""The body of an end of customership."""

from pydantic import BaseModel, ConfigDict, Field

from kielto.events.digests import InvalidContactPoint, normalise
from kielto.events.words import PointKind
from services.customers.model.given import Day, Number
from services.customers.model.problems import Problem, Refused


class End(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ended: Day | None = Field(default=None, description="Today when left out; not in the future.")
    number: Number | None = Field(
        default=None, description="Only this number; all in the company when left out."
    )

    def canonical(self, company: str) -> str | None:
        """Raises Refused."""
        try:
            return self.number and normalise(PointKind.NUMBER, f"{company}:{self.number}")
        except InvalidContactPoint:
            raise Refused([Problem("number", "is a customer number")]) from None
