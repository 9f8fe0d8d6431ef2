"""Settings of a service: environment variables with the prefix KIELTO_, read once, at the composition
root.
"""

from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from kielto.kafka import Security, SecurityError


class Role(StrEnum):
    """What this process runs; by default everything."""

    API = "api"
    CONSUMERS = "consumers"
    RELAY = "relay"


class KafkaSettings(BaseSettings):
    """Where Kafka is and how it is reached; in clear by default, which is for loopback only."""

    model_config = SettingsConfigDict(env_prefix="KIELTO_", extra="ignore", hide_input_in_errors=True)

    kafka_bootstrap: str
    kafka_security_protocol: str = "PLAINTEXT"
    kafka_sasl_mechanism: str = "SCRAM-SHA-512"
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_sasl_password_file: Path | None = Field(default=None, description="Instead of the password.")
    kafka_ca_file: Path | None = None
    kafka_cert_file: Path | None = None
    kafka_key_file: Path | None = None

    @cached_property
    def security(self) -> Security:
        """Raises SecurityError naming the rule that is broken, or the file that cannot be used."""
        return Security(
            protocol=self.kafka_security_protocol,
            mechanism=self.kafka_sasl_mechanism,
            username=self.kafka_sasl_username,
            password=self._password(),
            ca_file=self.kafka_ca_file,
            cert_file=self.kafka_cert_file,
            key_file=self.kafka_key_file,
        )

    def _password(self) -> str | None:
        if self.kafka_sasl_password is not None:
            return self.kafka_sasl_password.get_secret_value()
        if self.kafka_sasl_password_file is None:
            return None
        try:
            return self.kafka_sasl_password_file.read_text("utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            name = self.kafka_sasl_password_file
            raise SecurityError(f"{name}: cannot be read: {type(error).__name__}") from None


class ServiceSettings(KafkaSettings):
    """Raises pydantic's ValidationError naming the missing or wrong variable; values are never repeated."""

    postgres_dsn: str = Field(repr=False, description="With TLS: `…?sslmode=verify-full&sslrootcert=…`.")
    group_file: Path
    keys_file: Path
    http_host: str = "127.0.0.1"
    http_port: int = Field(ge=0, le=65535)
    metrics_host: str = Field(
        default="127.0.0.1", description="Where /metrics is served: never where companies' callers reach."
    )
    metrics_port: int = Field(default=9464, ge=0, le=65535)
    jwks: str = Field(description="Path or http(s) URL of the issuer's key set.")
    issuer: str
    audience: str = "kielto"
    beat_seconds: float | None = Field(default=None, gt=0, description="Instead of the group file's.")
    log_level: str = "info"
    roles: Annotated[frozenset[Role], NoDecode] = frozenset(Role)
    audit_days: int = Field(
        default=730, ge=365, description="How long entries of the audit trail are kept, in days."
    )
    bulk_rate: int = Field(default=20_000, gt=0, description="Records per second on the bulk lane, at most.")
    bulk_share: float = Field(
        default=0.15, gt=0, le=1, description="Of its time that bulk work takes while people say no; 1: all."
    )

    quarantine_days: float = Field(
        default=90, gt=0, description="How long to keep the content of a message that cannot be taken in."
    )
    auditor: bool = Field(default=True, description="`off` only where faults must not be repaired: in tests.")

    @field_validator("roles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value
