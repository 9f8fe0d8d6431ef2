"""A *no* that came where nobody can be asked back, and whose fields do not go together: the widest that it may mean.

To refuse it would end its denial at the desk that took it, and the person's word would be lost.
"""

from dataclasses import replace

from kielto.events.words import CHANNELS_OF, PARTNERS_PURPOSES, PointKind, Purpose, Reach
from services.consents.model.decisions import RecordedDecision
from services.consents.model.default_scope import Scope
from services.consents.model.facts import GroupFacts

NOT_A_PARTNER = "partner: is a partner of the group"
PARTNER_WITHOUT = "partner: must be given when the reach is partner, and only then"
COMPANY_WITHOUT = "company: is named when the reach is company"
NOT_OF_THE_ADDRESS = "channels: has one on which the address is reached"
TOO_MANY = "subject: has no more decisions by the party than its limit"
NOT_OF_PARTNERS = "purposes: must include partner_marketing or disclosure when the reach is a partner"


def widen(scope: Scope, group: GroupFacts) -> tuple[Scope, tuple[str, ...]]:
    """What is taken, and the rules that the given scope broke; none, and it is taken as it is.

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
    """The party says no about the subject too often for each to be told apart from the others."""
    if not no.purposes and not no.channels and not no.product_groups:
        return no
    wide = replace(no, purposes=frozenset(), channels=frozenset(), product_groups=frozenset())
    return replace(wide, widened=(*no.widened, TOO_MANY))


def widen_to_address(scope: Scope, kind: PointKind) -> tuple[Scope, tuple[str, ...]]:
    """A no for an address, by channels on which nobody is reached there (STOP to a text message, told of an e-mail
    address), would deny nothing: it is taken for every channel of the address.
    """
    its = frozenset(CHANNELS_OF[kind])
    if not scope.channels or scope.channels & its:
        return scope, ()
    return replace(scope, channels=scope.channels | its), (NOT_OF_THE_ADDRESS,)
