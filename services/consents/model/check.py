"""Whether a decision can be taken at all. Only a malformed one is refused; a *no* is never refused as unknown.

Unknown customers, numbers, points and restrictions that are not known yet are no errors: the decision waits for them.
"""

from kielto.errors import KieltoError
from kielto.events.words import PARTNERS_PURPOSES, Act, Reach
from services.consents.model.decisions import Actor, NumberSubject, RecordedDecision
from services.consents.model.facts import GroupFacts


class DecisionError(KieltoError, ValueError):
    """A decision cannot be taken: `field` names what is wrong, `rule` says what it must be."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


def check(decision: RecordedDecision, group: GroupFacts) -> None:
    """Raise DecisionError for the first field that breaks a rule."""
    _check_reach(decision, group)
    _check_subject(decision, group)
    for name in ("said_at", "received_at", "effective_from"):
        if getattr(decision, name).utcoffset() is None:
            raise DecisionError(name, "must be a time with a time zone (RFC 3339)")
    if decision.is_no:
        _check_no(decision)
    else:
        _check_yes(decision, group)


def _check_reach(decision: RecordedDecision, group: GroupFacts) -> None:
    if decision.company is not None and decision.company not in group.companies:
        raise DecisionError("company", "must be a company of the group")
    if decision.partner is not None and decision.partner not in group.partners:
        raise DecisionError("partner", "must be a partner of the group")
    if decision.reach is Reach.COMPANY and decision.company is None:
        raise DecisionError("company", "must be given when the reach is company")
    if decision.reach is Reach.GROUP and decision.company is not None:
        raise DecisionError("company", "must not be given when the reach is group")
    if (decision.reach is Reach.PARTNER) != (decision.partner is not None):
        raise DecisionError("partner", "must be given when the reach is partner, and only then")
    of_partners = decision.reach in (Reach.PARTNER, Reach.PARTNERS)
    if of_partners and decision.purposes and not decision.purposes & PARTNERS_PURPOSES:
        raise DecisionError(
            "purposes", "must include partner_marketing or disclosure when the reach is a partner"
        )


def _check_subject(decision: RecordedDecision, group: GroupFacts) -> None:
    subject = decision.subject
    named = (*group.companies, *(group.left if decision.is_no else ()))
    if isinstance(subject, NumberSubject) and subject.company not in named:
        raise DecisionError("subject.company", "must be a company of the group")


def _check_no(decision: RecordedDecision) -> None:
    if decision.lifts:
        raise DecisionError("lifts", "must be empty unless the act is consent or lifting")
    if decision.product_groups:
        raise DecisionError("product_groups", "must be empty unless the act is consent")


def _check_yes(decision: RecordedDecision, group: GroupFacts) -> None:
    if decision.by is not Actor.PERSON:
        raise DecisionError("by", "must be person when the act is consent or lifting")
    if decision.id in decision.lifts:
        raise DecisionError("lifts", "must not contain the decision's own id")
    if not decision.purposes:
        raise DecisionError("purposes", "must be given for a consent or a lifting")
    if not decision.channels:
        raise DecisionError("channels", "must be given for a consent or a lifting")
    if decision.act is Act.LIFTING:
        if not decision.lifts:
            raise DecisionError("lifts", "must contain the restrictions that the lifting lifts")
        if decision.product_groups:
            raise DecisionError("product_groups", "must be empty unless the act is consent")
        return
    _check_consent(decision, group)


def _check_consent(decision: RecordedDecision, group: GroupFacts) -> None:
    """Consent names the controller or partner: one for unnamed partners is none (GDPR 4(11), 7)."""
    if decision.purposes & PARTNERS_PURPOSES and decision.reach is not Reach.PARTNER:
        raise DecisionError("partner", "must be given for a consent to partners' marketing or disclosure")
    partner, company = decision.partner, decision.company
    if partner is not None and company is not None and not group.works_for(partner, company):
        raise DecisionError("partner", "must be a partner of the given company")
