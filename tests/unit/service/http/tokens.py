"""Tokens and key sets of an issuer of the tests' own."""

import json
import time
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

ISSUER, AUDIENCE = "https://issuer.example", "kielto"
GROUP = ("kauppa", "sahko")
KEY = ECKey.generate_key("P-256", {"kid": "one"})


def jwks(path: Path, *keys: Any) -> Path:
    path.write_text(json.dumps(KeySet(list(keys)).as_dict(private=False)))
    return path


def token(key: Any = KEY, alg: str = "ES256", **changes: Any) -> str:
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "someone",
        "exp": int(time.time()) + 60,
        "roles": ["desk"],
        "company": "kauppa",
        **changes,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": alg, "kid": key.kid}, given, key, algorithms=[alg])
