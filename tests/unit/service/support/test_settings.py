"""How Kafka is reached: what contradicts itself is refused at once, and named; no password is ever shown."""

from pathlib import Path
from typing import Any

import pytest

from kielto.kafka import Security, SecurityError
from kielto.service.inbox.consumers import _wire
from kielto.service.support.settings import KafkaSettings

LOGIN: dict[str, Any] = {"username": "u", "password": "hidden-word"}


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"protocol": "TLS"}, "security protocol: must be one of"),
        ({"protocol": "SASL_SSL", "mechanism": "GSSAPI", **LOGIN}, "SASL mechanism: must be one of"),
        ({"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", **LOGIN}, "in clear; use SASL_SSL"),
        ({"protocol": "SASL_SSL", "username": "u"}, "are needed with SASL_SSL"),
        ({"protocol": "SSL", **LOGIN}, "are given but not used with SSL"),
        ({"ca_file": Path("ca.pem")}, "certificates: are given but not used with PLAINTEXT"),
        ({"protocol": "SSL", "cert_file": Path("c.pem")}, "must be given together"),
        ({"protocol": "SSL", "ca_file": Path("/nowhere/ca.pem")}, "/nowhere/ca.pem: cannot be used"),
    ],
)
def test_what_contradicts_itself_is_named(given: dict[str, Any], rule: str) -> None:
    with pytest.raises(SecurityError, match=rule) as refused:
        Security(**given)
    assert "hidden-word" not in str(refused.value)


def test_a_password_comes_from_a_file_or_the_environment_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("hidden-word\n")
    monkeypatch.setenv("KIELTO_KAFKA_BOOTSTRAP", "b:9092")
    monkeypatch.setenv("KIELTO_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KIELTO_KAFKA_SASL_USERNAME", "u")
    monkeypatch.setenv("KIELTO_KAFKA_SASL_PASSWORD_FILE", str(file))
    settings = KafkaSettings()
    assert settings.security.arguments()["sasl_plain_password"] == "hidden-word"
    monkeypatch.setenv("KIELTO_KAFKA_SASL_PASSWORD", "another-hidden-word")
    settings = KafkaSettings()
    assert settings.security.password == "another-hidden-word"
    assert "hidden-word" not in repr(settings) + repr(settings.security)
    monkeypatch.delenv("KIELTO_KAFKA_SASL_PASSWORD")
    file.unlink()
    with pytest.raises(SecurityError, match="password: cannot be read"):
        _ = KafkaSettings().security


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"])
def test_the_consumers_framework_is_told_the_same(mechanism: str) -> None:
    from faststream.kafka.security import parse_security

    security = Security(protocol="SASL_SSL", mechanism=mechanism, **LOGIN)
    assert parse_security(_wire(security)) == security.arguments()
    assert parse_security(_wire(Security())) == Security().arguments()
