"""A broker that takes nobody without TLS, a certificate of our own authority, and a password."""

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local import ports
from deploy.local.install import files, jars, kafka_files
from deploy.local.servers.kafka import Kafka

USER, PASSWORD = "kielto", "not-in-clear"


@dataclass(frozen=True)
class Authority:
    """A certificate authority for one test; `issue` writes a key and a certificate of the name."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path) -> "Authority":
        folder.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _builder("authority", "authority", key.public_key(), is_ca=True).sign(
            key, hashes.SHA256()
        )
        authority = cls(folder, key, certificate)
        authority.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return authority

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def issue(self, name: str) -> tuple[Path, Path]:
        """The files of the certificate and of the key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _builder(name, "authority", key.public_key(), is_ca=False).sign(
            self.key, hashes.SHA256()
        )
        cert_file, key_file = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert_file, key_file


def _builder(
    name: str, issuer: str, key: ec.EllipticCurvePublicKey, *, is_ca: bool
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ports.LOOPBACK))]),
            critical=False,
        )
    )


def broker(folder: Path, authority: Authority, users: Sequence[str] = ()) -> Kafka:
    """Its one listener is SASL_SSL with SCRAM-SHA-512 and asks for client certificates; not started.

    With `users`, who have the same password, nobody but USER may do anything that no access control list allows.
    """
    cert_file, key_file = authority.issue("broker")
    store = folder / "broker.pem"
    folder.mkdir(parents=True, exist_ok=True)
    store.write_bytes(key_file.read_bytes() + cert_file.read_bytes())
    login = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    made = Kafka(
        folder,
        {
            # The listener keeps the name that the embedded broker gives it.
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:SASL_SSL",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "listener.name.plaintext.scram-sha-512.sasl.jaas.config": (
                f'{login} username="{USER}" password="{PASSWORD}";'
            ),
            "listener.name.plaintext.ssl.client.auth": "required",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.ca_file),
            **(_AUTHORIZER if users else {}),
        },
    )
    _format(folder, (USER, *users))
    return made


_AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": f"User:{USER};User:ANONYMOUS",  # the controller's listener has no names
}


def _format(folder: Path, users: Sequence[str]) -> None:
    """A data folder in which the users are known, in place of the template's."""
    classpath = jars.fetch("kafka")

    def fill(data: Path) -> None:
        properties = folder / "format.properties"
        kafka_files.write_properties(
            properties, kafka_files.SETTINGS, data, ports.free_port(), ports.free_port()
        )
        kafka_files._run(
            [
                *kafka_files.java(classpath),
                "kafka.tools.StorageTool",
                "format",
                f"--config={properties}",
                "--cluster-id=kielto-secure-cluster0",
                *(
                    word
                    for user in users
                    for word in ("--add-scram", f"SCRAM-SHA-512=[name={user},password={PASSWORD}]")
                ),
            ]
        )

    files.make_once(folder / "data", fill)
