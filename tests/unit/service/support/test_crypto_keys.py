"""The services' secrets: what seals, opens, and what does not."""

import json
import secrets
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from pydantic import TypeAdapter

from kielto.events import digests
from kielto.events.base import EncryptedDigest, Hash
from kielto.events.words import PointKind
from kielto.service.support.crypto_keys import KeyFile, Keys, KeysError

PARTY = "company.kauppa"


def file(**changes: object) -> dict[str, object]:
    return {
        "digest_key": "01" * 64,
        "master_key": "02" * 32,
        "index_key": "03" * 32,
        "id_keys": {PARTY: "04" * 32, "partner.p": "05" * 32},
        "point_keys": {PARTY: {"1": "06" * 32, "2": "07" * 32}},
        **changes,
    }


@pytest.fixture
def keys() -> Keys:
    return Keys(KeyFile.model_validate(file()))


def test_a_sealed_digest_has_the_contracts_form_and_opens(keys: Keys) -> None:
    digest = digests.digest_of(PointKind.EMAIL, "a@example.com")
    encrypted = keys.encrypt(digest)
    TypeAdapter(EncryptedDigest).validate_python(encrypted)
    assert keys.decrypt(encrypted) == digest
    assert keys.encrypt(digest) == encrypted, "equal digests give equal texts"
    other = Keys(KeyFile.model_validate(file(digest_key="09" * 64)))
    with pytest.raises(ValueError, match="not encrypted with this key"):
        other.decrypt(encrypted)


def test_pairwise_ids_and_points_are_the_contracts(keys: Keys) -> None:
    ident, digest = UUID(int=7), secrets.token_bytes(32)
    assert keys.pairwise(PARTY, ident) == AESSIV(bytes.fromhex("04" * 32)).encrypt(ident.bytes, None).hex()
    assert keys.point(PARTY, digest) == digests.point_of(bytes.fromhex("07" * 32), digest), "newest"
    assert keys.point(PARTY, digest, 1) == digests.point_of(bytes.fromhex("06" * 32), digest)
    assert keys.generations(PARTY) == (1, 2)
    assert keys.points(PARTY, digest) == (keys.point(PARTY, digest, 1), keys.point(PARTY, digest, 2))
    TypeAdapter(Hash).validate_python(keys.pairwise(PARTY, ident))
    assert keys.pairwise("partner.p", ident) != keys.pairwise(PARTY, ident)
    with pytest.raises(KeyError):
        keys.pairwise("company.nobody", ident)


@pytest.mark.parametrize("text", ["", "zz" * 32, "ab" * 31, "ab" * 32, "0" * 64, "ab" * 33])
def test_only_a_partys_own_id_leads_back_to_whom_it_names(keys: Keys, text: str) -> None:
    own = keys.pairwise(PARTY, UUID(int=7))
    assert keys.from_pairwise(PARTY, own) == UUID(int=7)
    assert keys.from_pairwise("partner.p", own) is None, "another party's"
    assert keys.from_pairwise(PARTY, text) is None


def test_a_persons_data_opens_only_with_its_own_key_and_context(keys: Keys) -> None:
    person, other = uuid4(), uuid4()
    key, wrapped = keys.new_data_key(person)
    kept = key.encrypt("ä@example.com", b"email")
    again = keys.data_key(person, wrapped)
    assert again.decrypt(kept, b"email") == "ä@example.com"
    assert key.encrypt("ä@example.com", b"email") != kept
    for wrong in (
        lambda: again.decrypt(kept, b"phone"),
        lambda: keys.data_key(other, wrapped),
        lambda: keys.new_data_key(person)[0].decrypt(kept, b"email"),
        lambda: again.decrypt(kept[:-1] + bytes([kept[-1] ^ 1]), b"email"),
    ):
        with pytest.raises(InvalidTag):
            wrong()


def test_a_blind_index_depends_on_field_and_value(keys: Keys) -> None:
    index = keys.blind_index("email", "a@example.com")
    assert len(index) == 32
    assert index == keys.blind_index("email", "a@example.com")
    assert len({index, keys.blind_index("phone", "a@example.com"), keys.blind_index("email", "b")}) == 3


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"digest_key": "01" * 32}, "digest_key"),
        ({"master_key": "no hex at all, but secret"}, "master_key"),
        ({"id_keys": {PARTY: "04"}}, f"id_keys.{PARTY}"),
        ({"unknown": "x"}, "unknown"),
    ],
)
def test_a_wrong_file_is_named_by_field_and_never_quoted(
    tmp_path: Path, changes: dict[str, object], field: str
) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(file(**changes)))
    with pytest.raises(KeysError, match=field) as error:
        Keys.load(path)
    assert "secret" not in str(error.value)
    with pytest.raises(KeysError, match="cannot be read"):
        Keys.load(tmp_path / "nothing.json")


def test_what_is_kept_of_a_message_is_no_larger_than_what_was_sent(keys: Keys) -> None:
    """36 messages of half a megabyte come in a compressed batch of 2 kB; as they are they were 20 MB of quarantine."""
    assert len(keys.message_cipher.encrypt(b"z" * 500_000, "topic/0@7")) < 4000
    noise = secrets.token_bytes(100_000)
    encrypted = keys.message_cipher.encrypt(noise, "topic/0@7")
    assert len(encrypted) < 101_000
    assert keys.message_cipher.decrypt(encrypted, "topic/0@7") == noise
