"""What a caller may say of a customer: shapes and lengths. `reading` checks what it means.

The same fields in a created customer and in a row of an import; in a change all may be left out or null, and none has a
default: a client that sends defaults would clear what it does not know.
"""

import re
from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StringConstraints

from kielto.events.base import Ident, few
from kielto.events.words import PointKind, Recipient

_ISO_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _iso_day(value: object) -> object:
    """Neither a date with a time nor a number of seconds, which pydantic would read too."""
    if value is None or (isinstance(value, str) and _ISO_DAY.fullmatch(value)):
        return value
    raise ValueError("must be a date YYYY-MM-DD")


def _text(longest: int, shortest: int = 1) -> StringConstraints:
    """Text without control characters, which no name or address has and no log or table should meet."""
    return StringConstraints(
        strip_whitespace=True, min_length=shortest, max_length=longest, pattern=r"^[^\x00-\x1f\x7f]*$"
    )


Day = Annotated[date, BeforeValidator(_iso_day, json_schema_input_type=str)]
Number = Annotated[str, _text(64)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]


class _GivenModel(BaseModel):
    """Strict on purpose: a misspelt field would otherwise lose what someone said, unseen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _no_default(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class Sale(_GivenModel):
    """The sale in connection with which a contact point was obtained (917/2014 section 200(3))."""

    seller: Ident
    date: Day
    product_group: Ident
    ban_offered: StrictBool = Field(
        default=False, description="A free and easy ban was offered at collection."
    )


class Address(_GivenModel):
    """A postal address; the post office is kept in capitals."""

    street: Annotated[str, _text(200)] = Field(description="Street, number, stairwell, flat; or a PO box.")
    postal_code: Annotated[str, _text(16, 0)] = ""
    city: Annotated[str, _text(100)]
    country: Country | None = Field(
        default=None,
        description="ISO 3166 alpha-2. Without one: the row's, the import's, else the company's.",
    )


class GivenPoint(_GivenModel):
    """A contact point: `value` for e-mail and phone, `address` for post."""

    kind: Literal[PointKind.EMAIL, PointKind.PHONE, PointKind.POST]
    value: Annotated[str, _text(320)] | None = None
    address: Address | None = None
    role_address: StrictBool | None = Field(
        default=None, description="Of an organisation's task, as info@ is."
    )
    sales: Annotated[tuple[Sale, ...] | None, few(20)] = Field(default=None, max_length=20)


class Duty(_GivenModel):
    """A product group within a contact person's duties, with what shows it: a job title alone is no
    evidence.
    """

    product_group: Ident
    evidence: Annotated[str, _text(500)]


class NumberRef(_GivenModel):
    """A customer, named by a company's customer number."""

    company: Ident
    number: Number


class GivenCustomership(NumberRef):
    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_no_default)

    since: Day | None = None
    ended: Day | None = None


OwnRef = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
CustomerRef = UUID | OwnRef | NumberRef
"""A customer: by its id (callers of the whole group), by the company's own id, or by a customer number."""


class _GivenFacts(_GivenModel):
    name: Annotated[str, _text(400)] | None = None
    language: Language | None = Field(default=None, description="BCP 47.", examples=["fi"])
    identity_code: Annotated[str, _text(11)] | None = Field(
        default=None, description="Henkilötunnus. Only where identification matters; never shown again."
    )
    business_id: Annotated[str, _text(10)] | None = Field(default=None, examples=["2077474-0"])
    birth_date: Day | None = None
    organisation: CustomerRef | None = Field(default=None, description="Whose contact person this is.")
    person: CustomerRef | None = Field(
        default=None,
        description="Who this contact person is as a natural person: that person's own no binds this role too.",
    )


class Given(_GivenFacts):
    """The fields of a customer."""

    recipient: Recipient = Recipient.NATURAL
    deceased: StrictBool = False
    safety_ban: StrictBool = Field(default=False, description="Turvakielto: hides the postal address.")
    duties: Annotated[tuple[Duty, ...], few(50)] = Field(default=(), max_length=50)
    points: Annotated[tuple[GivenPoint, ...], few(50)] = Field(default=(), max_length=50)


class GivenCustomer(Given):
    """A customer to create."""

    customerships: Annotated[tuple[GivenCustomership, ...], few(20)] = Field(default=(), max_length=20)


class CustomerPatch(_GivenFacts):
    """What to change of a customer: absent is unchanged, null is cleared (RFC 7396)."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_no_default)

    recipient: Recipient | None = None
    deceased: StrictBool | None = None
    safety_ban: StrictBool | None = Field(default=None, description="Turvakielto: hides the postal address.")
    duties: Annotated[tuple[Duty, ...] | None, few(50)] = Field(default=None, max_length=50)
    points: Annotated[tuple[GivenPoint, ...] | None, few(50)] = Field(default=None, max_length=50)
    customerships: Annotated[tuple[GivenCustomership, ...] | None, few(20)] = Field(
        default=None, max_length=20
    )
    reason: Annotated[str, _text(500)] | None = Field(
        default=None,
        description="For callers of the whole group: why a death, a minority, a safety ban or an end that a company "
        "states is taken back. It is kept.",
    )


class GivenRow(Given):
    """A row of an import: a customer of the importing company, known by its number there."""

    number: Number
    since: Day | None = None
    ended: Day | None = None
    country: Country | None = Field(
        default=None,
        description="Of phone numbers and addresses that name none; else the import's, else the company's.",
    )
    same_as: NumberRef | None = Field(
        default=None,
        description="Another number of the same person; another company's only by a group-wide caller.",
    )
