"""The services' secrets: sealing of digests, pairwise ids and points of each party, encryption at rest, blind
indexes.

The keys file is JSON, each key in hex. Every service has `digest_key` (64 bytes, AES-SIV), `id_keys` by party (32),
`point_keys` by party and generation (32) and `master_key` (32), which may be the service's own. `index_key` (32) is for
customers and consents, `seal_key` (32, an Ed25519 seed) for consents, which signs the log of decisions. A service's
file holds no key that it does not use.
"""

import base64
import hashlib
import hmac
import json
import os
import zlib
from functools import cached_property
from pathlib import Path
from typing import Annotated
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc.jwk import OKPKey
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from kielto import seals
from kielto.errors import KieltoError
from kielto.events import digests

ENCRYPTED = "encrypted"
"""The one field of a record that is kept encrypted."""


class KeysError(KieltoError, ValueError):
    """The keys file cannot be used. Names the field, never a value."""


def _bytes(length: int) -> AfterValidator:
    def check(text: str) -> str:
        try:
            raw = bytes.fromhex(text)
        except ValueError:
            raise ValueError("must be hex digits") from None
        if len(raw) != length:
            raise ValueError(f"must have {length} bytes")
        return text

    return AfterValidator(check)


Hex32 = Annotated[str, _bytes(32)]
Hex64 = Annotated[str, _bytes(64)]


class KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    digest_key: Hex64
    master_key: Hex32
    index_key: Hex32 | None = None
    id_keys: dict[str, Hex32]
    point_keys: dict[str, dict[int, Hex32]] = Field(default_factory=dict)
    seal_key: Hex32 | None = None


class DataKey:
    """The key of one person's data at rest (AES-256-GCM). Erasing its wrapped form erases the person."""

    def __init__(self, raw: bytes) -> None:
        self._cipher = AESGCM(raw)

    def encrypt(self, text: str, context: bytes) -> bytes:
        """Nonce and ciphertext. `context` (the field's name and row) must be the same to decrypt."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, text.encode(), context)

    def decrypt(self, encrypted: bytes, context: bytes) -> str:
        """Raises cryptography's InvalidTag when key, context or bytes are not those of `encrypt`."""
        return self._cipher.decrypt(encrypted[:12], encrypted[12:], context).decode()


_LEVEL = 1
"""Of zlib: the fastest."""


class MessageCipher:
    """Encrypts what is kept of messages that cannot be read, or that wait (AES-256-GCM).

    Compressed before: a few kilobytes of a compressed batch are hundreds of messages of half a megabyte, and what is
    kept of them is to be no larger than what was sent.
    """

    def __init__(self, raw: bytes) -> None:
        self._cipher = AESGCM(raw)

    def encrypt(self, content: bytes, place: str) -> bytes:
        """Nonce and ciphertext. `place` (topic, partition, offset) must be the same to open it."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, zlib.compress(content, _LEVEL), place.encode())

    def decrypt(self, encrypted: bytes, place: str) -> bytes:
        """Raises cryptography's InvalidTag when key, place or bytes are not those of `encrypt`."""
        return zlib.decompress(self._cipher.decrypt(encrypted[:12], encrypted[12:], place.encode()))


class Keys:
    def __init__(self, file: KeyFile) -> None:
        self._file = file
        self._ids = {party: AESSIV(bytes.fromhex(key)) for party, key in file.id_keys.items()}
        self._points = {
            party: {generation: bytes.fromhex(key) for generation, key in keys.items()}
            for party, keys in file.point_keys.items()
        }

    @classmethod
    def load(cls, path: Path) -> "Keys":
        """Raises KeysError."""
        try:
            return cls(KeyFile.model_validate_json(path.read_bytes()))
        except OSError as error:
            raise KeysError(f"{path}: cannot be read: {type(error).__name__}") from error
        except ValidationError as error:
            errors = error.errors(include_input=False)
            lines = [f"{'.'.join(str(x) for x in e['loc'])}: {e['msg']}" for e in errors]
            raise KeysError(f"{path}: " + "; ".join(lines)) from None

    @cached_property
    def _index(self) -> bytes:
        """Raises KeysError: marketing has none."""
        if self._file.index_key is None:
            raise KeysError('the keys file: index_key is missing: add "index_key": 32 random bytes in hex')
        return bytes.fromhex(self._file.index_key)

    @cached_property
    def _siv(self) -> AESSIV:
        return AESSIV(bytes.fromhex(self._file.digest_key))

    @cached_property
    def _master(self) -> AESGCM:
        return AESGCM(bytes.fromhex(self._file.master_key))

    def encrypt(self, digest: bytes) -> str:
        """A canonical digest, or another 32 bytes, as `EncryptedDigest` text. Deterministic: equal digests give equal
        texts.
        """
        return base64.urlsafe_b64encode(self._siv.encrypt(digest, None)).decode()

    def decrypt(self, encrypted: str) -> bytes:
        """Decrypt the digest. Raises ValueError when it was not encrypted under this key."""
        try:
            return self._siv.decrypt(base64.urlsafe_b64decode(encrypted), None)
        except InvalidTag:
            raise ValueError("the digest was not encrypted with this key") from None

    def knows(self, party: str) -> bool:
        """Whether the party has ids and hashes of its own here. One that has left may have none any more."""
        return party in self._ids

    def pairwise(self, party: str, ident: UUID) -> str:
        """The party's own id of a customer, a stored address or a decision: 64 hex digits. KeyError: no such
        party.
        """
        return self._ids[party].encrypt(ident.bytes, None).hex()

    def from_pairwise(self, party: str, text: str) -> UUID | None:
        """What `pairwise` was given. None: it is no id of this party's, whatever it is. KeyError: no such party."""
        try:
            return UUID(bytes=self._ids[party].decrypt(bytes.fromhex(text), None))
        except (InvalidTag, ValueError):
            return None

    def point(self, party: str, digest: bytes, generation: int | None = None) -> str:
        """The party's hash of a contact point or number, by its newest key unless a generation is named."""
        keys = self._points[party]
        return digests.point_of(keys[generation if generation is not None else max(keys)], digest)

    def generations(self, party: str) -> tuple[int, ...]:
        """Generations of the party's point key, oldest first."""
        return tuple(sorted(self._points[party]))

    def checks(self, party: str) -> dict[int, str]:
        """By generation of the party's point key, the value by which the party checks its own copy."""
        return {generation: digests.check_of(key) for generation, key in sorted(self._points[party].items())}

    def points(self, party: str, digest: bytes) -> tuple[str, ...]:
        """The party's hashes of a contact point or number by each of its keys, oldest first."""
        return tuple(self.point(party, digest, generation) for generation in self.generations(party))

    @cached_property
    def seal_key(self) -> OKPKey:
        """Raises KeysError: only consents has one."""
        if self._file.seal_key is None:
            raise KeysError('the keys file: seal_key is missing: add "seal_key": 32 random bytes in hex')
        return seals.signing_key(bytes.fromhex(self._file.seal_key))

    def new_data_key(self, person: UUID) -> tuple[DataKey, bytes]:
        """A fresh data key and its wrapped form, to be stored with the person."""
        raw, nonce = os.urandom(32), os.urandom(12)
        return DataKey(raw), nonce + self._master.encrypt(nonce, raw, person.bytes)

    def data_key(self, person: UUID, wrapped: bytes) -> DataKey:
        """Raises cryptography's InvalidTag when it was wrapped for another person or under another key."""
        return DataKey(self._master.decrypt(wrapped[:12], wrapped[12:], person.bytes))

    @cached_property
    def _records(self) -> AESSIV:
        """Derived (RFC 5869), so that no key is used for two ciphers."""
        derived = HKDF(SHA256(), 64, salt=None, info=b"kielto records at rest")
        return AESSIV(derived.derive(bytes.fromhex(self._file.master_key)))

    def encrypt_record(self, family: str, key: str, body: str) -> str:
        """A record's JSON as the outbox keeps it where it has names or addresses; deterministic, so that an
        unchanged record is seen as unchanged.
        """
        encrypted = self._records.encrypt(body.encode(), [family.encode(), key.encode()])
        return f'{{"{ENCRYPTED}":"{base64.urlsafe_b64encode(encrypted).decode()}"}}'

    def decrypt_record(self, family: str, key: str, kept: str) -> str:
        """What `encrypt_record` was given; anything else as it is. Raises cryptography's InvalidTag when it is
        another record's.
        """
        if not kept.startswith(f'{{"{ENCRYPTED}":'):
            return kept
        encrypted = base64.urlsafe_b64decode(json.loads(kept)[ENCRYPTED])
        return self._records.decrypt(encrypted, [family.encode(), key.encode()]).decode()

    @cached_property
    def message_cipher(self) -> MessageCipher:
        derived = HKDF(SHA256(), 32, salt=None, info=b"kielto quarantine at rest")
        return MessageCipher(derived.derive(bytes.fromhex(self._file.master_key)))

    def blind_index(self, field: str, normalised: str) -> bytes:
        """The index by which a value encrypted at rest is found: 32 bytes, HMAC-SHA256(index key, field, 0, value)."""
        return hmac.new(self._index, field.encode() + b"\0" + normalised.encode(), hashlib.sha256).digest()

    def known_by(self, field: str, value: str) -> str:
        """The keyed hash by which an erased person is recognised: HMAC-SHA-384(index key, "known", 0, field, 0, value)
        as URL-safe base64. Separate from `blind_index`, so that neither can be found by the other.
        """
        text = b"\0".join((b"known", field.encode(), value.encode()))
        return base64.urlsafe_b64encode(hmac.new(self._index, text, hashlib.sha384).digest()).decode()
