"""An issuer's key set (RFC 7517): of it the keys that can be used, and for a token those that may have signed it."""

from typing import Any

import structlog
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

log = structlog.get_logger(__name__)

_KINDS = {
    "ES256": ("EC", "P-256"),
    "Ed25519": ("OKP", "Ed25519"),
    "EdDSA": ("OKP", "Ed25519"),
    "RS256": ("RSA", None),
}
"""By algorithm: type and curve of its keys."""
ALGORITHMS = list(_KINDS)
_MOST_KEYS = 50


class KeySet:
    """Raises ValueError when the document is no key set; keys in it that cannot be used are left out."""

    def __init__(self, document: Any) -> None:
        given = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(given, list) or len(given) > _MOST_KEYS:
            raise ValueError(f"the key set must have `keys`, a list of at most {_MOST_KEYS}")
        self.keys: list[Key] = []
        self.unusable: list[tuple[str, str]] = []
        """Those left out: the key's id and why."""
        for one in given:
            try:
                self.keys.append(_usable(one))
            except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
                kid = one.get("kid") if isinstance(one, dict) else None
                why = str(error) if type(error) is ValueError else type(error).__name__
                self.unusable.append((repr(kid)[:100], why))

    def knows(self, key_id: str) -> bool:
        return any(key.kid == key_id for key in self.keys)

    def candidates(self, key_id: str | None, algorithm: object) -> list[Key]:
        """Keys of the algorithm with this id; of a token that names none, all of the algorithm."""
        return [
            key
            for key in self.keys
            if (key_id is None or key.kid == key_id) and algorithm in _algorithms(key)
        ]


def _usable(given: Any) -> Key:
    """Raises ValueError and whatever joserfc raises for a key that it does not know."""
    key = JWKRegistry.import_key(given)
    if not _algorithms(key):
        raise ValueError("no accepted algorithm uses such a key")
    if given.get("use", "sig") != "sig":
        raise ValueError("its use must be sig")
    return key


def _algorithms(key: Key) -> list[str]:
    described = key.as_dict(private=False)
    kind, curve = described["kty"], described.get("crv")
    own = described.get("alg")
    return [
        name
        for name, (wanted, on) in _KINDS.items()
        if kind == wanted and on in (None, curve) and own in (None, name)
    ]
