"""Settings of every service: environment variables with the prefix KIELTO_, read once when the process starts."""

from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from kielto.kafka import Security, SecurityError


class Role(StrEnum):
    """What a process runs (KIELTO_ROLES); by default everything."""

    API = "api"
    CONSUMERS = "consumers"
    RELAY = "relay"


class KafkaSettings(BaseSettings):
    """How to connect to Kafka. The default, without TLS, is for loopback only."""

    model_config = SettingsConfigDict(env_prefix="KIELTO_", extra="ignore", hide_input_in_errors=True)

    kafka_bootstrap: str = Field(description="Brokers, as host:port, separated by commas.")
    kafka_security_protocol: str = Field(
        default="PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    )
    kafka_sasl_mechanism: str = Field(
        default="SCRAM-SHA-512", description="SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN."
    )
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_sasl_password_file: Path | None = Field(
        default=None, description="File with the password, instead of kafka_sasl_password."
    )
    kafka_ca_file: Path | None = Field(default=None, description="CA certificates (PEM) of the brokers.")
    kafka_cert_file: Path | None = Field(default=None, description="Client certificate (PEM).")
    kafka_key_file: Path | None = Field(
        default=None, description="Private key (PEM) of the client certificate."
    )

    @cached_property
    def security(self) -> Security:
        """Raises SecurityError, which names the broken rule or the unusable file."""
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
    """Raises pydantic's ValidationError, which names the missing or wrong variable and never repeats a value."""

    postgres_dsn: str = Field(
        repr=False, description="PostgreSQL; with TLS: `…?sslmode=verify-full&sslrootcert=…`."
    )
    group_file: Path = Field(description="The group file (group.yaml).")
    keys_file: Path = Field(description="The service's keys file (JSON).")
    http_host: str = "127.0.0.1"
    http_port: int = Field(ge=0, le=65535)
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address of /metrics. Do not expose it to the companies: it shows what each does.",
    )
    metrics_port: int = Field(default=9464, ge=0, le=65535)
    jwks: str = Field(description="Path or http(s) URL of the token issuer's key set.")
    issuer: str = Field(description="`iss` of accepted tokens.")
    audience: str = Field(default="kielto", description="`aud` of accepted tokens.")
    beat_seconds: float | None = Field(
        default=None, gt=0, description="Seconds between two heartbeats, instead of the group file's."
    )
    log_level: str = Field(default="info", description="debug, info, warning or error.")
    roles: Annotated[frozenset[Role], NoDecode] = frozenset(Role)
    audit_days: int = Field(
        default=730, ge=365, description="How many days to keep entries of the audit trail."
    )
    bulk_rate: int = Field(default=20_000, gt=0, description="Most records per second on the bulk lane.")
    bulk_share: float = Field(
        default=0.15,
        gt=0,
        le=1,
        description="Share of its time that bulk work may use while decisions arrive; 1: no limit.",
    )

    quarantine_days: float = Field(
        default=90, gt=0, description="How many days to keep the content of a message in quarantine."
    )
    auditor: bool = Field(
        default=True,
        description="Whether to run the auditor; off only in tests, where it would repair what they look for.",
    )

    @field_validator("roles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",")] if isinstance(value, str) else value
