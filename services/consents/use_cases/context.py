"""What every use case needs: the group, the rules in force and the keys; and how subjects are named."""

from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

from kielto.events.words import PointKind
from kielto.group import Group
from kielto.service.support.crypto_keys import Keys
from kielto.service.support.limits import FOREIGN_NOS_PER_HOUR, WAITING_YESES
from services.consents.model.facts import GroupFacts
from services.consents.model.rules import Rules

NAMESPACE = uuid5(NAMESPACE_URL, "urn:kielto:decision")
"""Of the ids of decisions that came on a party's topic: uuid5(NAMESPACE, "<party>/<the party's id>")."""


@dataclass(frozen=True, slots=True)
class Context:
    group: Group
    facts: GroupFacts
    rules: Rules
    keys: Keys
    left: frozenset[str] = frozenset()
    """Parties that were of the group and are no more."""
    foreign_nos_per_hour: int = FOREIGN_NOS_PER_HOUR
    """So many of a party's *no*s about others' people take effect in an hour; those above it are held."""
    waiting_yeses: int = WAITING_YESES
    """So many of a party's yeses wait for their customers; those above it are refused."""

    @classmethod
    def of(
        cls,
        group: Group,
        keys: Keys,
        rules: Rules | None = None,
        left: frozenset[str] = frozenset(),
        foreign_nos_per_hour: int = FOREIGN_NOS_PER_HOUR,
        waiting_yeses: int = WAITING_YESES,
    ) -> "Context":
        partners = {p.id: frozenset(p.of) for p in group.partners}
        gone = frozenset(p.removeprefix("company.") for p in left if p.startswith("company."))
        facts = GroupFacts(group.company_ids, partners, gone)
        rules = rules or Rules.shipped()
        return cls(group, facts, rules, keys, left, foreign_nos_per_hour, waiting_yeses)


@dataclass(frozen=True, slots=True)
class NamedSubject:
    """Whom a decision is about, as it is stored: `kind` is customer, id, number, email or phone."""

    ref: str
    kind: str
    customer: UUID | None = None
    company: str | None = None
    """Whose customer number it is."""

    @property
    def point(self) -> PointKind | None:
        """Of a bare contact point: what kind it is."""
        return PointKind(self.kind) if self.kind in (PointKind.EMAIL, PointKind.PHONE) else None


def customer_subject(customer: UUID) -> NamedSubject:
    return NamedSubject(f"c:{customer}", "customer", customer=customer)


def id_subject(party: str, ident: str) -> NamedSubject:
    """A customer by the party's own id, which is bound to a customer now or when we come to know them."""
    return NamedSubject(id_ref(party, ident), "id")


def number_subject(keys: Keys, company: str, digest: bytes) -> NamedSubject:
    return NamedSubject(f"n:{keys.seal(digest)}", "number", company=company)


def point_subject(keys: Keys, kind: PointKind, digest: bytes) -> NamedSubject:
    """`kind` is email or phone."""
    return NamedSubject(f"p:{keys.seal(digest)}", kind.value)


def id_ref(party: str, ident: str) -> str:
    return f"i:{party}:{ident}"


def decision_id(party: str, ident: UUID) -> UUID:
    """Ours, of a decision that a party sent under its own id."""
    return uuid5(NAMESPACE, f"{party}/{ident}")


def shown_customer(keys: Keys, ref: str, party: str | None) -> str | None:
    """The customer whom a ref names, as the party knows them (None: the group). None: it names nobody by an id."""
    if ref.startswith("c:"):
        return keys.pairwise(party, UUID(ref[2:])) if party else ref[2:]
    if not ref.startswith("i:"):
        return None
    _, whose, key = ref.split(":")
    if party == whose:
        return key
    ident = keys.from_pairwise(whose, key) if party is None else None
    return str(ident) if ident else None
