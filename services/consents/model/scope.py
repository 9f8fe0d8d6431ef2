"""What a decision covers: what was given, the defaults of route and act, and the broadest reading of a *no* that came
where nobody can be asked back and whose fields do not go together.

To refuse such a *no* would end its denial at the desk that took it, and the person's word would be lost.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from kielto.events.words import CHANNELS_OF, PARTNERS_PURPOSES, Act, Channel, PointKind, Purpose, Reach
from services.consents.model.check import DecisionError
from services.consents.model.decisions import RecordedDecision, Route
from services.consents.model.facts import GroupFacts
from services.consents.model.rules import Rules


@dataclass(frozen=True, slots=True)
class Scope:
    """How far a decision reaches, ready for `Decision`; what the agent reads back to the person."""

    reach: Reach
    company: str | None
    partner: str | None
    purposes: frozenset[Purpose]
    channels: frozenset[Channel]


def expand(
    rules: Rules,
    route: Route,
    act: Act,
    reach: Reach | None = None,
    company: str | None = None,
    partner: str | None = None,
    purposes: Collection[Purpose] = (),
    channels: Collection[Channel] = (),
) -> Scope:
    """Keep what was given and fill what was left out with the widest that the route allows.

    A named partner limits the decision to it. A named company without a reach is refused: it may be where the
    person spoke or what they meant, and a *no* is neither widened nor narrowed by a guess.
    A consent has no defaults: it always says for itself what it is about. Raises DecisionError.
    """
    said, came = rules.acts[act], rules.routes[route]
    if not act.restricts and not came.may_say_yes:
        raise DecisionError("route", "must be a route by which a consent or a lifting may come")
    if reach is None and partner is not None:
        reach = Reach.PARTNER
    if reach is None and company is not None:
        raise DecisionError("reach", "must be given when a company is")
    if reach is None:
        if said.reach == "none":
            raise DecisionError("reach", "must be given for this act")
        reach = came.reach if said.reach == "by_route" else said.reach
    if act is Act.CONSENT and not purposes:
        raise DecisionError("purposes", "must be given for a consent")
    if act is Act.CONSENT and not channels:
        raise DecisionError("channels", "must be given for a consent")
    about = said.purposes & PARTNERS_PURPOSES if reach in (Reach.PARTNER, Reach.PARTNERS) else said.purposes
    return Scope(reach, company, partner, frozenset(purposes) or about, frozenset(channels) or came.channels)


NOT_A_PARTNER = "partner: must be a partner of the group"
PARTNER_WITHOUT = "partner: must be given when the reach is partner, and only then"
COMPANY_WITHOUT = "company: must be given when the reach is company"
NOT_OF_THE_ADDRESS = "channels: must include one on which the address is reached"
TOO_MANY = "subject: must have no more decisions by the party than the limit"
NOT_OF_PARTNERS = "purposes: must include partner_marketing or disclosure when the reach is a partner"


def widen(scope: Scope, group: GroupFacts) -> tuple[Scope, tuple[str, ...]]:
    """Return the scope that is taken and the rules that the given scope broke; without any, the scope stays as given.

    No partner or an unknown one: all partners. A partner, and a reach of which it is no part; a company that is not
    told: the whole group. A partner's reach, and none of its purposes: own and partners' marketing alike.
    """
    broken: list[str] = []
    if scope.partner is not None and scope.reach is not Reach.PARTNER:
        broken.append(PARTNER_WITHOUT)
        wide = Reach.PARTNERS if scope.reach is Reach.PARTNERS else Reach.GROUP
        scope = replace(scope, reach=wide, company=None, partner=None)
    if scope.reach is Reach.PARTNER and scope.partner not in group.partners:
        broken.append(PARTNER_WITHOUT if scope.partner is None else NOT_A_PARTNER)
        scope = replace(scope, reach=Reach.PARTNERS, partner=None)
    if scope.reach is Reach.COMPANY and scope.company is None:
        broken.append(COMPANY_WITHOUT)
        scope = replace(scope, reach=Reach.GROUP)
    of_partners = scope.reach in (Reach.PARTNER, Reach.PARTNERS)
    if of_partners and scope.purposes and scope.purposes.isdisjoint(PARTNERS_PURPOSES):
        broken.append(NOT_OF_PARTNERS)
        both = scope.purposes | PARTNERS_PURPOSES | {Purpose.OWN_MARKETING}
        scope = replace(scope, reach=Reach.GROUP, company=None, partner=None, purposes=both)
    return scope, tuple(broken)


def widen_wholly(no: RecordedDecision) -> RecordedDecision:
    """Widen a *no* of a party that has said no about the subject too often for each to be told apart: it covers every
    purpose and channel of its reach.
    """
    if not no.purposes and not no.channels and not no.product_groups:
        return no
    wide = replace(no, purposes=frozenset(), channels=frozenset(), product_groups=frozenset())
    return replace(wide, widened=(*no.widened, TOO_MANY))


def widen_to_address(scope: Scope, kind: PointKind) -> tuple[Scope, tuple[str, ...]]:
    """Widen a *no* for an address to every channel of the address if nobody is reached there on the channels that it
    names (STOP to a text message, reported for an e-mail address): otherwise it would deny nothing.
    """
    its = frozenset(CHANNELS_OF[kind])
    if not scope.channels or scope.channels & its:
        return scope, ()
    return replace(scope, channels=scope.channels | its), (NOT_OF_THE_ADDRESS,)
