"""The body of a merge."""

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class Into(BaseModel):
    model_config = ConfigDict(extra="forbid")

    into: UUID = Field(description="The survivor; of an alias the one that it was merged into.")
