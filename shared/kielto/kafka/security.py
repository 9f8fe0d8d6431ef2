"""How a client connects to the brokers: without encryption (loopback only), with TLS, with user and password (SASL)."""

import ssl
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kielto.errors import KieltoError

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


class SecurityError(KieltoError, ValueError):
    """The settings cannot be used. The message names the setting and the rule, never a password."""


@dataclass(frozen=True)
class Security:
    """Kafka's `security.protocol` and its settings. Raises SecurityError when they contradict each other.

    `ca_file`: certificates (PEM) of the authorities for the brokers' certificates, instead of the system's. `cert_file`
    and `key_file`: the client's certificate and key (PEM), if the brokers require one. The brokers' host names are
    always verified.
    """

    protocol: str = "PLAINTEXT"
    mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise SecurityError(f"security protocol: must be one of {', '.join(PROTOCOLS)}")
        if self.mechanism not in MECHANISMS:
            raise SecurityError(f"SASL mechanism: must be one of {', '.join(MECHANISMS)}")
        if self.protocol == "SASL_PLAINTEXT" and self.mechanism == "PLAIN":
            raise SecurityError("SASL mechanism: PLAIN sends the password in clear; use SASL_SSL")
        if self.sasl != bool(self.username and self.password):
            verb = "are needed" if self.sasl else "are given but not used"
            raise SecurityError(f"SASL user name and password: {verb} with {self.protocol}")
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            raise SecurityError(f"certificates: are given but not used with {self.protocol}")
        if bool(self.cert_file) != bool(self.key_file):
            raise SecurityError("client certificate and key: must be given together")
        _ = self.context  # report a file that cannot be read now, not as a broker that is away

    @property
    def sasl(self) -> bool:
        return self.protocol.startswith("SASL_")

    @property
    def tls(self) -> bool:
        return self.protocol.endswith("SSL")

    @cached_property
    def context(self) -> ssl.SSLContext | None:
        """TLS 1.2 or newer, certificate and name verified; None without TLS."""
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self.cert_file and self.key_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except OSError as error:  # ssl.SSLError is one
            names = ", ".join(str(f) for f in (self.ca_file, self.cert_file, self.key_file) if f)
            raise SecurityError(f"{names}: cannot be used: {type(error).__name__}") from None
        return context

    def arguments(self) -> dict[str, Any]:
        """The arguments of aiokafka's clients."""
        given: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self.context}
        if self.sasl:
            given |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return given


CLEAR = Security()
"""No encryption and no user: for brokers on loopback."""
