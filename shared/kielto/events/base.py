"""What all messages have in common."""

import re
from datetime import datetime
from typing import Annotated, ClassVar, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from kielto.events.versions import PATTERN, Version

Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A pairwise id or a company's hash of a contact point."""
Ident = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
"""The id of a company, partner, subscriber, campaign or product group."""
EncryptedDigest = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{64}$")]
"""A canonical digest encrypted under the services' key: 48 bytes as URL-safe base64 without padding."""


def _checked(text: str) -> str:
    return str(Version.parse(text))


VersionText = Annotated[
    str, StringConstraints(pattern=PATTERN), AfterValidator(_checked), Field(examples=["1.7"])
]
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _rfc_3339(value: object) -> object:
    """Refuse numbers, which pydantic reads as seconds since 1970, and days without a time."""
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        return value
    raise ValueError("must be a time with a time zone (RFC 3339)")


Moment = Annotated[AwareDatetime, BeforeValidator(_rfc_3339, json_schema_input_type=AwareDatetime)]
"""A time with a time zone; over HTTP and on topics as RFC 3339 writes it."""


def few(most: int) -> BeforeValidator:
    """Refuse a list of more than `most` items before its items are validated: pydantic validates all items of a tuple
    before it counts them, and each wrong one costs some microseconds.
    """

    def check(value: object) -> object:
        if isinstance(value, list | tuple) and len(value) > most:
            raise PydanticCustomError(
                "too_long", "must have at most {max_length} items", {"max_length": most}
            )
        return value

    return BeforeValidator(check)


MAX_BYTES = 256 * 1024
"""The largest message. The outbox refuses a larger one, and a reader quarantines it."""


class EventPart(BaseModel):
    """An immutable part of a message. A reader ignores fields that it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Event(EventPart):
    """A message of the contract. `kind` and `major` name its schema and its CloudEvents type."""

    kind: ClassVar[str]
    major: ClassVar[int] = 1

    @classmethod
    def read(cls, value: bytes) -> Self:
        """The event of a message's value. Raises pydantic's ValidationError, or NotJsonError."""
        return cls.model_validate_json(value)

    @classmethod
    def type_name(cls) -> str:
        return f"kielto.{cls.kind}.v{cls.major}"
