"""The rules in force: rules.toml read once, checked to answer each case exactly once, and compiled."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from itertools import product
from typing import NamedTuple

from pydantic import ValidationError

from kielto.errors import KieltoError
from kielto.events.words import CHANNELS_OF, Act, Channel, Mode, PointKind, Purpose, Recipient, Status
from services.consents.model.decisions import Route
from services.consents.model.facts import CustomerFacts, Person, PointFacts
from services.consents.model.rules_file import Fact, Judgement, Relation, Rule, RulesFile, TableRow, Who
from services.consents.model.ruling import NO_GROUPS, Ruling, RulingReason

KINDS_OF_MARKETING: tuple[tuple[Purpose, Mode | None], ...] = (
    (Purpose.OWN_MARKETING, None),
    (Purpose.PARTNER_MARKETING, Mode.WE_SEND),
    (Purpose.PARTNER_MARKETING, Mode.PARTNER_SENDS),
)


class RulesError(KieltoError, ValueError):
    """The rule file cannot be used; the message names the entry and what it must be."""


class RowAnswer(NamedTuple):
    """A row as its switch leaves it."""

    rule: Rule
    alone: Ruling
    """What holds when nobody has said anything and nothing was sold."""


Table = dict[tuple[Who, Relation, Purpose, Mode | None, Channel], RowAnswer]


class Line(NamedTuple):
    """The answer for one kind of marketing on one channel. `private`: for a contact person outside their duties."""

    channel: Channel
    purpose: Purpose
    mode: Mode | None
    answer: RowAnswer
    private: RowAnswer | None
    never: bool


class Rules:
    """The table, the switches, and what bare acts mean. Build it once with `Rules.shipped()` and share it."""

    def __init__(self, file: RulesFile, switches: Mapping[Judgement, bool] | None = None) -> None:
        self.switches = {s.name: s.value for s in file.switch} | dict(switches or {})
        self.acts = {a.act: a for a in file.act}
        self.routes = {r.route: r for r in file.route}
        self._blocks = {b.fact: b for b in file.block}
        for what, given, needed in (
            ("switch", self.switches, Judgement),
            ("act", self.acts, Act),
            ("route", self.routes, Route),
            ("block", self._blocks, Fact),
        ):
            if missing := set(needed) - set(given):
                raise RulesError(f"{what}: {min(missing)} is missing")
        for entries, count in ((file.switch, len(Judgement)), (file.act, len(Act)), (file.route, len(Route))):
            if len(entries) != count:
                raise RulesError(f"{type(entries[0]).__name__}: an entry is given twice")
        table = self._table(file.row)
        self._lines = {
            (who, relation, kind): _lines(table, who, relation, kind)
            for who, relation, kind in product(tuple(Who), Relation, PointKind)
        }

    @classmethod
    def shipped(cls, switches: Mapping[Judgement, bool] | None = None) -> "Rules":
        """The rules of this distribution. `switches` overrides the file's values. Raises RulesError."""
        text = resources.files(__package__).joinpath("rules.toml").read_text(encoding="utf-8")
        return cls.parse(text, switches)

    @classmethod
    def parse(cls, text: str, switches: Mapping[Judgement, bool] | None = None) -> "Rules":
        """Raises RulesError."""
        try:
            return cls(RulesFile.model_validate(tomllib.loads(text)), switches)
        except tomllib.TOMLDecodeError as error:
            raise RulesError(f"not TOML: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            raise RulesError(f"{'.'.join(str(x) for x in first['loc'])}: {first['msg']}") from None

    def lines(self, customer: CustomerFacts, relation: Relation, point: PointFacts) -> tuple[Line, ...]:
        """What the table says of this customer's contact point, one line a channel and kind of marketing."""
        return self._lines[self._who(customer, point), relation, point.kind]

    def blocks(self, person: Person) -> dict[Channel, Ruling]:
        """The ruling on each channel that a fact denies; a fact about any of the merged customers counts."""
        everyone = person.customers
        facts = {
            Fact.ERASED: person.root.status is Status.ERASED,
            Fact.SURVIVOR_UNKNOWN: person.root.alias_of is not None or person.root.status is Status.ALIAS,
            Fact.DECEASED: any(c.deceased for c in everyone),
            Fact.MINOR: any(c.minor for c in everyone),
            Fact.SAFETY_BAN: any(c.safety_ban for c in everyone),
        }
        denied: dict[Channel, Ruling] = {}
        for fact, holds in facts.items():
            if holds:
                block = self._blocks[fact]
                ruling = Ruling(False, NO_GROUPS, RulingReason.FACT, block.id, block.section)
                denied = dict.fromkeys(block.channels, ruling) | denied
        return denied

    def _who(self, customer: CustomerFacts, point: PointFacts) -> Who:
        if customer.recipient is Recipient.CONTACT:
            return Who.CONTACT_DUTIES
        if customer.recipient is Recipient.LEGAL:
            personal = not point.role_address and point.kind is not PointKind.POST
            if personal and self.switches[Judgement.PERSONAL_ADDRESS_IS_NATURAL]:
                return Who.NATURAL
        return Who(customer.recipient)

    def _answer(self, row: TableRow) -> RowAnswer:
        off = row.only_if is not None and not self.switches[row.only_if]
        rule = row.otherwise if off and row.otherwise else row.rule
        if rule is Rule.OPT_OUT:
            return RowAnswer(rule, Ruling(True, None, RulingReason.NOT_BANNED, row.id, row.section))
        reason = RulingReason.NEVER if rule is Rule.NONE else RulingReason.NO_CONSENT
        return RowAnswer(rule, Ruling(False, NO_GROUPS, reason, row.id, row.section))

    def _table(self, rows: tuple[TableRow, ...]) -> Table:
        """The table by case. Each case is answered by exactly one row, so a lawyer may read the rows in any order."""
        table = {}
        for who, relation, (purpose, mode), channel in product(Who, Relation, KINDS_OF_MARKETING, Channel):
            found = [r for r in rows if r.answers(who, relation, purpose, mode, channel)]
            if len(found) != 1:
                case = " ".join(x for x in (who, relation, purpose, mode, channel) if x)
                ids = ", ".join(r.id for r in found) or "no row"
                raise RulesError(f"row: {case}: exactly one row must answer; found {ids}")
            table[who, relation, purpose, mode, channel] = self._answer(found[0])
        return table


def _lines(table: Table, who: Who, relation: Relation, kind: PointKind) -> tuple[Line, ...]:
    lines = []
    for channel, (purpose, mode) in product(CHANNELS_OF[kind], KINDS_OF_MARKETING):
        case = (relation, purpose, mode, channel)
        private = table[Who.CONTACT_PRIVATE, *case] if who is Who.CONTACT_DUTIES else None
        answer = table[who, *case]
        never = answer.rule is Rule.NONE and (private is None or private.rule is Rule.NONE)
        lines.append(Line(channel, purpose, mode, answer, private, never))
    return tuple(lines)
