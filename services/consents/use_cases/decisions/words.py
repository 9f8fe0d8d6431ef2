"""A decision in words that an agent can read back to the person."""

from kielto.events.words import CHANNELS_OF, Act, Channel, PointKind, Purpose, Reach
from services.consents.model.decisions import RecordedDecision


def in_words(decision: RecordedDecision, kind: str, *, effective: bool = True) -> str:
    """`kind`: of the subject (customer, id, number, email, phone). `effective`: of a yes, that it allows anything."""
    address = PointKind(kind) if kind in _ADDRESS else None
    said = f"{_VERB[decision.act]} {_purposes(decision)} {_channels(decision, address)}, {_reach(decision)}."
    return f"{said}{_besides(decision, address, effective=effective)}"


_VERB = {
    Act.BAN: "No more",
    Act.OPT_OUT: "No more",
    Act.OBJECTION: "No more",
    Act.WITHDRAWAL: "Consent withdrawn:",
    Act.CONSENT: "Consent given:",
    Act.LIFTING: "Restrictions lifted:",
}
_ADDRESS = {PointKind.EMAIL: "address", PointKind.PHONE: "number"}
_MARKETING = frozenset({Purpose.OWN_MARKETING, Purpose.PARTNER_MARKETING})


def _purposes(decision: RecordedDecision) -> str:
    named = decision.purposes
    direct = ["direct marketing"] if not named or named >= _MARKETING else []
    rest = sorted(named - _MARKETING if direct else named)
    words = [*direct, *(p.replace("_", " ") for p in rest)]
    groups = f" (only {', '.join(sorted(decision.product_groups))})" if decision.product_groups else ""
    return ", ".join(words) + groups


def channels(decision: RecordedDecision, address: PointKind | None) -> frozenset[Channel]:
    """On which it speaks: of a bare address those on which somebody is reached there."""
    named = decision.channels or frozenset(Channel)
    return named & frozenset(CHANNELS_OF[address]) if address else named


def _channels(decision: RecordedDecision, address: PointKind | None) -> str:
    spoken = channels(decision, address)
    if spoken == frozenset(Channel):
        return "on any channel"
    listed = ", ".join(sorted(c.replace("_", " ") for c in spoken))
    return f"by {listed or 'no channel'}" + (f" to this {_ADDRESS[address]}" if address else "")


def _reach(decision: RecordedDecision) -> str:
    where = f"company {decision.company}" if decision.company else "any company of the group"
    match decision.reach:
        case Reach.GROUP:
            return "from any company of the group and any of its partners"
        case Reach.COMPANY:
            return f"from company {decision.company}"
        case Reach.PARTNER:
            return f"for partner {decision.partner}, through {where}"
        case Reach.PARTNERS:
            return f"for all partners, through {where}"


def _besides(decision: RecordedDecision, address: PointKind | None, *, effective: bool) -> str:
    if not decision.is_no:
        return "" if effective else " It allows nothing now: other restrictions or rules stand against it."
    if address:
        return f" It is about this {_ADDRESS[address]} alone, whoever has it."
    return " It binds all records of this person in the group." if decision.reach is Reach.GROUP else ""
