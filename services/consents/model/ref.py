"""`Ref`, the text that names a subject in the database, and `NamedSubject`, whom a decision names as it was given."""

from dataclasses import dataclass
from uuid import UUID

from kielto.events.party import Party
from kielto.events.words import PointKind


class Ref(str):
    """A subject's name. A string, so that it travels to PostgreSQL, whose locks follow its order, as it is.

    `c:<customer id>`, `i:<party>:<the party's id of a customer>`, `n:<encrypted number>`, `p:<encrypted address>`,
    `k:<keyed hash>` of an identity code or of a name and postal address, `m:<keyed hash>` of a mailbox without its tag,
    `r:<decision id>` of a restriction of which only the records that list it are left.
    """

    __slots__ = ()

    @classmethod
    def customer(cls, ident: UUID) -> "Ref":
        return cls(f"c:{ident}")

    @classmethod
    def of_party(cls, party: str, ident: str) -> "Ref":
        """A customer by the party's own id, known now or later."""
        return cls(f"i:{party}:{ident}")

    @classmethod
    def number(cls, encrypted: str) -> "Ref":
        return cls(f"n:{encrypted}")

    @classmethod
    def point(cls, encrypted: str) -> "Ref":
        return cls(f"p:{encrypted}")

    @classmethod
    def identity(cls, token: str) -> "Ref":
        return cls(f"k:{token}")

    @classmethod
    def mailbox(cls, token: str) -> "Ref":
        return cls(f"m:{token}")

    @classmethod
    def restored(cls, decision: UUID) -> "Ref":
        return cls(f"r:{decision}")

    @property
    def kind(self) -> str:
        """The letter before the colon."""
        return self[0]

    @property
    def is_point(self) -> bool:
        return self.kind == "p"

    @property
    def encrypted(self) -> bytes:
        """The encrypted digest of an `n:` or `p:` ref, as facts carry it."""
        return self[2:].encode()

    @property
    def customer_id(self) -> UUID | None:
        """The customer's id in a `c:` ref."""
        return UUID(self[2:]) if self.kind == "c" else None

    @property
    def party_and_id(self) -> tuple[Party, str] | None:
        """The party and its id of the customer in an `i:` ref."""
        if self.kind != "i":
            return None
        party, _, ident = self[2:].partition(":")
        return Party(party), ident


@dataclass(frozen=True, slots=True)
class NamedSubject:
    """Whom a decision names, as it is stored. `kind` is customer, id, number, email or phone."""

    ref: Ref
    kind: str
    company: str | None = None
    """The company whose customer number the subject is."""

    @classmethod
    def of_customer(cls, customer: UUID) -> "NamedSubject":
        return cls(Ref.customer(customer), "customer")

    @classmethod
    def of_id(cls, party: str, ident: str) -> "NamedSubject":
        return cls(Ref.of_party(party, ident), "id")

    @classmethod
    def of_number(cls, company: str, encrypted: str) -> "NamedSubject":
        return cls(Ref.number(encrypted), "number", company)

    @classmethod
    def of_point(cls, kind: PointKind, encrypted: str) -> "NamedSubject":
        """`kind` is email or phone."""
        return cls(Ref.point(encrypted), kind.value)

    @property
    def customer(self) -> UUID | None:
        return self.ref.customer_id

    @property
    def point(self) -> PointKind | None:
        """The kind of a bare contact point; None for any other subject."""
        return PointKind(self.kind) if self.ref.is_point else None
