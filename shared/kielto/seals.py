"""The signed log of decisions: canonical JSON, commitments, tree heads and signatures.

Signatures are JSON Web Signatures (RFC 7515) by Ed25519 (RFC 8037, RFC 9864). A key's id is its RFC 7638
thumbprint. Needs joserfc: `pip install kielto[proof]`.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from kielto.errors import KieltoError

HEAD = "kielto-head"
PROOF = "kielto-proof"
ERASURE = "kielto-erasure"
"""`typ` of each signature, so that no kind can be used as another one."""

_ALGORITHM = "Ed25519"
_SAFE_INTEGER = 2**53
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False)
Keys = Mapping[str, OKPKey]
"""Public keys by id."""


class SealRefusedError(KieltoError, ValueError):
    """The document proves nothing. The message names the part and what is wrong with it."""


class Head(NamedTuple):
    """The signed state of the tree after its `batch` was added. Roots are hex, times ISO 8601 in UTC."""

    batch: int
    size: int
    root: str
    previous_size: int
    previous_root: str
    epoch: int
    signed_at: str


def canonical(value: object) -> bytes:
    """The RFC 8785 form of a value without floats, with integers within 2 ** 53 and ASCII names. Raises ValueError."""
    _check(value)
    return _ENCODER.encode(value).encode()


def parse(text: bytes | str) -> Any:
    """Parse JSON without repeated names and floats. Raises ValueError."""
    return json.loads(text, object_pairs_hook=_pairs, parse_float=_refuse, parse_constant=_refuse)


def commitment(salt: bytes, said: Mapping[str, Any]) -> bytes:
    """SHA-256 of a random salt and what was said. Without the salt it reveals nothing about anybody."""
    return hashlib.sha256(salt + canonical(said)).digest()


def blinded(salt: bytes, text: str) -> str:
    """A keyed hash in place of a text that not every reader may see. Who knows salt and text can compare them."""
    return hmac.digest(salt, text.encode(), "sha256").hex()


def signing_key(seed: bytes) -> OKPKey:
    """The key pair of 32 secret bytes (RFC 8032)."""
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": _encode(public), "d": _encode(seed)})
    key.ensure_kid()
    return key


def public_key(key: OKPKey) -> dict[str, Any]:
    """Its public half as a JWK (RFC 7517)."""
    return {**key.as_dict(private=False), "kid": key.thumbprint(), "alg": _ALGORITHM, "use": "sig"}


def key_set(jwks: Any) -> Keys:
    """The Ed25519 keys of a JWKS, by their computed thumbprints. Raises SealRefusedError."""
    try:
        found = [OKPKey.import_key(key) for key in jwks["keys"] if key.get("crv") == "Ed25519"]
    except (JoseError, AttributeError, KeyError, TypeError, ValueError):
        raise SealRefusedError("keys: must be a JSON Web Key Set (RFC 7517)") from None
    return {key.thumbprint(): key for key in found}


def sign(payload: object, key: OKPKey, typ: str) -> str:
    """A JWS in compact form over the payload's canonical JSON."""
    header = {"alg": _ALGORITHM, "kid": key.thumbprint(), "typ": typ}
    return jws.serialize_compact(header, canonical(payload), key, algorithms=[_ALGORITHM])


def opened(token: str, keys: Keys, typ: str) -> Any:
    """The payload of a JWS of that kind under one of the keys. Raises SealRefusedError."""
    try:
        header = jws.extract_compact(token.encode()).headers()
        key = keys.get(header.get("kid", ""))
        if key is None:
            raise SealRefusedError("signed with a key that is not among the trusted ones")
        if header.get("typ") != typ:
            raise SealRefusedError(f"must be a signature of type {typ}")
        return parse(jws.deserialize_compact(token, key, algorithms=[_ALGORITHM]).payload)
    except SealRefusedError:
        raise
    except (JoseError, ValueError, TypeError, AttributeError):
        raise SealRefusedError("the signature does not match") from None


def detached(token: str) -> str:
    """Remove the payload of a JWS (RFC 7515, appendix F)."""
    header, _, signature = token.split(".")
    return f"{header}..{signature}"


def attached(token: str, payload: object) -> str:
    """Put the payload back into a detached JWS. Raises SealRefusedError."""
    parts = token.split(".")
    if len(parts) != 3 or parts[1]:
        raise SealRefusedError("the signature does not match")
    try:
        return f"{parts[0]}.{_encode(canonical(payload))}.{parts[2]}"
    except ValueError as error:
        raise SealRefusedError(str(error)) from None


def read_head(token: str, keys: Keys) -> Head:
    """The tree head in a JWS. Raises SealRefusedError."""
    given = opened(token, keys, HEAD)
    try:
        head = Head(**given)
        bytes.fromhex(head.root), bytes.fromhex(head.previous_root)
    except (TypeError, ValueError):
        raise SealRefusedError("lacks the fields of a tree head") from None
    numbers = (head.batch, head.size, head.previous_size, head.epoch)
    if not all(type(n) is int and n >= 0 for n in numbers):
        raise SealRefusedError("lacks the fields of a tree head")
    return head


def _check(value: object) -> None:
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, list | tuple):
        for item in value:
            _check(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str) or not name.isascii():
                raise ValueError("names must be ASCII text")
            _check(item)
    elif not isinstance(value, int) or abs(value) >= _SAFE_INTEGER:
        raise ValueError(f"cannot be signed: {type(value).__name__}")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name appears twice")
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError("numbers must be integers")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
