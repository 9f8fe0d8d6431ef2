"""What a decision covers where the person did not limit it: by route and act, from rules.toml."""

from collections.abc import Collection
from dataclasses import dataclass

from kielto.events.words import PARTNERS_PURPOSES, Act, Channel, Purpose, Reach
from services.consents.model.check import DecisionError
from services.consents.model.decisions import Route
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
    """What was given stands; what was left out is the widest that the route gives.

    A named partner limits the decision to it. A named company without a reach is refused: it may be where the
    person spoke or what they meant, and a *no* is neither widened nor narrowed by a guess.
    A consent has no defaults: it always says for itself what it is about. Raises DecisionError.
    """
    said, came = rules.acts[act], rules.routes[route]
    if not act.restricts and not came.may_say_yes:
        raise DecisionError("route", f"a yes does not come by {route}")
    if reach is None and partner is not None:
        reach = Reach.PARTNER
    if reach is None and company is not None:
        raise DecisionError("reach", "is given when a company is named")
    if reach is None:
        if said.reach == "none":
            raise DecisionError("reach", f"a {act} says whom it reaches")
        reach = came.reach if said.reach == "by_route" else said.reach
    if act is Act.CONSENT and not purposes:
        raise DecisionError("purposes", "a consent names its purposes")
    if act is Act.CONSENT and not channels:
        raise DecisionError("channels", "a consent names its channels")
    about = said.purposes & PARTNERS_PURPOSES if reach in (Reach.PARTNER, Reach.PARTNERS) else said.purposes
    return Scope(reach, company, partner, frozenset(purposes) or about, frozenset(channels) or came.channels)
