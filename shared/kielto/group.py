"""The group as data: companies, partners, processors, subscriber systems, deadlines. Read from `group.yaml`.

It is the only source of topics, keys, deadlines and of the parties that a decision can name. `revision` rises with
every change.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from kielto.errors import KieltoError
from kielto.events.base import Ident
from kielto.events.party import Party
from kielto.events.topics import Topic, all_topics
from kielto.placeholders import is_placeholder
from kielto.validation import field_rules

Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class GroupError(KieltoError, ValueError):
    """The group file cannot be used; the message names the field and the rule."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Controller(_Model):
    name: str
    business_id: str = Field(description="The group's own business id, not a customer's.")
    contact: str

    @field_validator("business_id")
    @classmethod
    def _nobodys(cls, text: str) -> str:
        if is_placeholder("".join(c for c in text if c.isdigit())[:7]):
            raise ValueError("must be the group's own business id; this is a placeholder")
        return text


class Company(_Model):
    id: Ident
    name: str
    country: Country = "FI"
    product_groups: tuple[str, ...] = Field(min_length=1)


class Partner(_Model):
    id: Ident
    name: str
    of: tuple[Ident, ...] = Field(
        min_length=1, description="Companies that market for the partner or disclose customers to it."
    )
    country: Country = "FI"


class Processor(_Model):
    id: Ident
    name: str
    acts_for: tuple[Ident, ...] = Field(min_length=1)
    task: str


class SubscriberSystem(_Model):
    """One system that follows a party's topics and acknowledges what it has applied."""

    id: Ident
    party: str = Field(pattern=r"^(company|partner)\.[a-z][a-z0-9-]{0,39}$")
    name: str
    deadline_seconds: float = Field(default=60, gt=0, description="How soon it must apply a decision.")
    stale_seconds: float = Field(
        default=30, gt=0, description="Its gate shuts when its view is older than this."
    )


class Group(_Model):
    """The whole group. Raises GroupError (from `load`) when a reference does not resolve."""

    revision: int = Field(ge=1)
    controller: Controller
    beat_seconds: float = Field(default=10, gt=0, description="Time between heartbeats.")
    companies: tuple[Company, ...] = Field(min_length=1)
    partners: tuple[Partner, ...] = ()
    processors: tuple[Processor, ...] = ()
    subscribers: tuple[SubscriberSystem, ...] = ()

    @model_validator(mode="after")
    def _references(self) -> "Group":
        if problems := [*self._repeated(), *self._unknown()]:
            raise ValueError("\n".join(problems))
        return self

    def _repeated(self) -> Iterator[str]:
        for what in ("companies", "partners", "processors", "subscribers"):
            ids = [x.id for x in getattr(self, what)]
            for ident in sorted({i for i in ids if ids.count(i) > 1}):
                yield f"{what}: ids must be unique: {ident} appears twice"

    def _unknown(self) -> Iterator[str]:
        """References that do not resolve, and times that contradict each other."""
        named = {f"partners.{partner.id}.of": partner.of for partner in self.partners}
        named |= {f"processors.{processor.id}.acts_for": processor.acts_for for processor in self.processors}
        for field, companies in named.items():
            for company in sorted(set(companies) - set(self.company_ids)):
                yield f"{field}: unknown company {company}"
        for subscriber in self.subscribers:
            if subscriber.party not in self.parties:
                yield f"subscribers.{subscriber.id}.party: unknown {subscriber.party}"
            if subscriber.stale_seconds < 3 * self.beat_seconds:
                yield f"subscribers.{subscriber.id}.stale_seconds: must be at least three times beat_seconds"

    @cached_property
    def company_ids(self) -> tuple[str, ...]:
        return tuple(c.id for c in self.companies)

    @cached_property
    def partner_ids(self) -> tuple[str, ...]:
        return tuple(p.id for p in self.partners)

    @cached_property
    def parties(self) -> tuple[Party, ...]:
        """`company.<id>` and `partner.<id>`: the owners of topics and keys."""
        return (*map(Party.company, self.company_ids), *map(Party.partner, self.partner_ids))

    def company(self, ident: str) -> Company:
        """Raises KeyError."""
        return {c.id: c for c in self.companies}[ident]

    def subscribers_of(self, party: str) -> tuple[SubscriberSystem, ...]:
        return tuple(s for s in self.subscribers if s.party == party)

    def partners_of(self, company: str) -> tuple[str, ...]:
        return tuple(p.id for p in self.partners if company in p.of)

    def topics(self) -> tuple[Topic, ...]:
        return tuple(all_topics(self.parties))


def load(path: Path, beat_seconds: float | None = None) -> Group:
    """Read `group.yaml`; `beat_seconds` overrides its own (demo and tests). Raises GroupError, with a line for
    each problem.
    """
    raw = _read(path)
    if not isinstance(raw, dict):
        raise GroupError(f"{path}: must be a mapping with revision, controller, companies and subscribers")
    if beat_seconds is not None:
        raw["beat_seconds"] = beat_seconds
    try:
        return Group.model_validate(raw)
    except ValidationError as error:
        # The rules about the whole file have a line for each problem, and name their fields themselves.
        told = [
            f"{f.field}: {line}" if f.field else line
            for f in field_rules(error)
            for line in f.rule.splitlines()
        ]
        raise GroupError("\n".join(f"{path}: {line}" for line in told)) from None


def _read(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        place = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise GroupError(f"{path}: must be YAML{place}: {error.problem}") from None
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise GroupError(f"{path}: cannot be read: {type(error).__name__}") from None
