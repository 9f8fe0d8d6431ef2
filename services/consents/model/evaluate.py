"""The permission at every cell: what the law's row says, what consents and sales add, what restrictions take away.

    fact that denies  >  row that says never  >  restrictions in force  >  the row, consents and sales

Pure and total: each company, contact point, channel and kind of marketing gets one ruling, with what decided it.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from uuid import UUID

from services.consents.model.applicable import ApplicableDecisions, Restriction, Voice, select_applicable
from services.consents.model.coverage import UNLIMITED, Limit, both, consented, denies, either, limit
from services.consents.model.decisions import RecordedDecision
from services.consents.model.facts import GroupFacts, Person, PointFacts, SaleFacts
from services.consents.model.rules import Line, RowAnswer, Rules
from services.consents.model.rules_file import Judgement, Relation, Rule
from services.consents.model.ruling import NO_GROUPS, Cell, CellPermission, Groups, Ruling, RulingReason


class CompanyView(NamedTuple):
    """A person as one company sees them, with all decisions that apply."""

    person: Person
    applicable: ApplicableDecisions


def company_views(
    person: Person, decisions: Iterable[RecordedDecision], companies: Iterable[str], rules: Rules
) -> dict[str, CompanyView]:
    """The view of each company. Companies that see the same person share one object."""
    said = tuple(decisions)
    stating = person.companies_that_state
    views: dict[str | None, CompanyView] = {}
    found: dict[str, CompanyView] = {}
    for company in companies:
        whose = company if company in stating else None
        if whose not in views:
            view = person.seen_by(company)
            same = next((s for s in views.values() if s.person == view), None)
            views[whose] = same or CompanyView(view, select_applicable(view, said, rules))
        found[company] = views[whose]
    return found


def evaluate(
    person: Person, decisions: Iterable[RecordedDecision], group: GroupFacts, rules: Rules
) -> tuple[CellPermission, ...]:
    """One permission for each company, contact point, channel and kind of marketing.

    `decisions` may hold more than those that apply. The answer holds under all keys of the person (`Person.keys`).
    """
    return evaluate_cells(company_views(person, decisions, group.companies, rules), group, rules)


def evaluate_cells(
    by_company: Mapping[str, CompanyView], group: GroupFacts, rules: Rules
) -> tuple[CellPermission, ...]:
    """One permission for each cell, of each company at the contact points that it has."""
    evaluations: dict[int, _PersonEvaluation] = {}
    found = []
    for company, seen in by_company.items():
        person = seen.person
        evaluation = evaluations.get(id(seen)) or evaluations.setdefault(
            id(seen), _PersonEvaluation(person, seen.applicable, rules)
        )
        relation = Relation.CUSTOMER if person.is_customer_of(company) else Relation.PROSPECT
        partners = group.partners_of(company)
        for point in person.root.points:
            for line in rules.lines(person.root, relation, point):
                for partner in partners if line.mode else (None,):
                    cell = Cell(company, point.id, line.channel, line.purpose, partner, line.mode)
                    found.append(CellPermission(cell, evaluation.ruling(cell, point, line)))
    return tuple(found)


class Basis(NamedTuple):
    """What a row allows at a cell before restrictions."""

    groups: Groups
    reason: RulingReason
    decisions: tuple[UUID, ...] = ()
    sales: tuple[SaleFacts, ...] = ()


_NOT_BANNED = Basis(None, RulingReason.NOT_BANNED)
_NOTHING = Basis(NO_GROUPS, RulingReason.NO_CONSENT)


class _PersonEvaluation:
    """Evaluates the cells of one person."""

    __slots__ = ("_applicable", "_blocks", "_root", "_rules")

    def __init__(self, person: Person, applicable: ApplicableDecisions, rules: Rules) -> None:
        self._root = person.root
        self._blocks = rules.blocks(person)
        self._applicable = applicable
        self._rules = rules

    def ruling(self, cell: Cell, point: PointFacts, line: Line) -> Ruling:
        if cell.channel in self._blocks:
            return self._blocks[cell.channel]
        if line.never:
            return line.answer.alone
        against = [r for r in self._applicable.restrictions if denies(r.no, cell)]
        if line.private is None:
            return self._part(line.answer, against, cell, point)
        return self._contact(line, line.private, against, cell, point)

    def _part(self, answer: RowAnswer, against: list[Restriction], cell: Cell, point: PointFacts) -> Ruling:
        if answer.rule is Rule.NONE or (answer.rule is Rule.OPT_OUT and not against):
            return answer.alone
        left = limit(against, cell) if against else UNLIMITED
        ground = _NOTHING if left.groups == NO_GROUPS else self._ground(answer.rule, cell, point)
        groups = both(ground.groups, left.groups)
        if groups is None or groups:
            used = _sorted(ground.decisions + left.lifted_by)
            row = answer.alone
            return Ruling(True, groups, ground.reason, row.rule, row.section, used, ground.sales)
        return self._restricted(left) if left.denying else answer.alone

    def _ground(self, rule: Rule, cell: Cell, point: PointFacts) -> Basis:
        if rule is Rule.OPT_OUT:
            return _NOT_BANNED
        consent = consented(self._applicable.consents, cell)
        sales = self._sales(cell, point) if rule is Rule.SOFT_OPT_IN else ()
        reason = RulingReason.SALE if sales and not consent.given_by else RulingReason.CONSENT
        groups = either((consent.groups, frozenset(s.product_group for s in sales)))
        return Basis(groups, reason, consent.given_by, sales)

    def _sales(self, cell: Cell, point: PointFacts) -> tuple[SaleFacts, ...]:
        """Sales that make a soft opt-in: by the company itself, a ban offered, the product group known."""
        any_seller = self._rules.switches[Judgement.GROUP_IS_SAME_SELLER]
        return tuple(
            s
            for s in point.sales
            if s.ban_offered and s.product_group and (any_seller or s.seller == cell.company)
        )

    def _restricted(self, left: Limit) -> Ruling:
        said = self._rules.acts[left.denying[0].act]
        ids = tuple(d.id for d in left.denying)
        return Ruling(False, NO_GROUPS, RulingReason.RESTRICTED, said.act, said.section, ids)

    def _contact(
        self, line: Line, private: RowAnswer, against: list[Restriction], cell: Cell, point: PointFacts
    ) -> Ruling:
        """Evaluate two parts of a contact person's product groups: those within the duties, and all others.

        The organisation's *no* binds the first, and the second where that rests on no consent of the person.
        """
        consent_needed = private.rule is not Rule.OPT_OUT
        own = [r for r in against if r.no.voice is not Voice.EMPLOYER] if consent_needed else against
        outside = self._part(private, own, cell, point)
        if not self._root.duties:
            return outside
        within = self._part(line.answer, against, cell, point)
        inner = both(within.product_groups, self._root.duties) or NO_GROUPS
        outer = outside.product_groups
        if outer is None and inner != self._root.duties:
            # "All but the duties" cannot be published: what is allowed is listed. Only what is named is left.
            outer = consented(self._applicable.consents, cell).named
        if outer is not None:
            outer -= self._root.duties
        return _joined(within._replace(product_groups=inner), outside._replace(product_groups=outer))


def _joined(within: Ruling, outside: Ruling) -> Ruling:
    """One ruling of a contact person's two parts, whose product groups do not overlap."""
    groups = either((within.product_groups, outside.product_groups))
    allowed = groups is None or bool(groups)
    parts = [r for r in (within, outside) if r.product_groups is None or r.product_groups]
    used = parts or [r for r in (within, outside) if r.reason is RulingReason.RESTRICTED] or [within]
    decisions = _sorted(i for r in used for i in r.decisions)
    sales = tuple(dict.fromkeys(s for r in used for s in r.sales))
    return used[0]._replace(allowed=allowed, product_groups=groups, decisions=decisions, sales=sales)


def _sorted(ids: Iterable[UUID]) -> tuple[UUID, ...]:
    return tuple(sorted(set(ids)))
