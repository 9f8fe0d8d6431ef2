"""What all messages have in common."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from kielto.events.versions import PATTERN, Version

Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A pairwise id or a company's hash of a contact point."""
Ident = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
"""The id of a company, partner, subscriber, campaign or product group."""
Sealed = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{64}$")]
"""A canonical digest sealed under the services' key: 48 bytes as URL-safe base64 without padding."""


def _checked(text: str) -> str:
    return str(Version.parse(text))


VersionText = Annotated[
    str, StringConstraints(pattern=PATTERN), AfterValidator(_checked), Field(examples=["1.7"])
]
Moment = AwareDatetime

MAX_BYTES = 256 * 1024
"""No message is larger; the outbox refuses one at insert, a reader quarantines it."""


class Part(BaseModel):
    """A part of a message: immutable; fields a reader does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Event(Part):
    """A message of the contract. `kind` and `major` name its schema and its CloudEvents type."""

    kind: ClassVar[str]
    major: ClassVar[int] = 1

    @classmethod
    def type_name(cls) -> str:
        return f"kielto.{cls.kind}.v{cls.major}"
