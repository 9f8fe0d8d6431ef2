"""Settings of a service: environment variables with the prefix KIELTO_, read once, at the composition
root.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Role(StrEnum):
    """What this process runs; by default everything."""

    API = "api"
    CONSUMERS = "consumers"
    RELAY = "relay"


class ServiceSettings(BaseSettings):
    """Raises pydantic's ValidationError naming the missing or wrong variable; values are never repeated."""

    model_config = SettingsConfigDict(env_prefix="KIELTO_", extra="ignore", hide_input_in_errors=True)

    postgres_dsn: str = Field(repr=False)
    kafka_bootstrap: str
    group_file: Path
    keys_file: Path
    http_host: str = "127.0.0.1"
    http_port: int = Field(ge=0, le=65535)
    jwks: str = Field(description="Path or http(s) URL of the issuer's key set.")
    issuer: str
    audience: str = "kielto"
    beat_seconds: float | None = Field(default=None, gt=0, description="Instead of the group file's.")
    log_level: str = "info"
    roles: Annotated[frozenset[Role], NoDecode] = frozenset(Role)
    bulk_rate: int = Field(default=20_000, gt=0, description="Records per second on the bulk lane, at most.")

    @field_validator("roles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value
