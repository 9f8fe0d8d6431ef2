"""The development issuer: `./kielto token` prints a bearer token that the local services accept.

The issuer's private key is made once and stays under `.kielto/`; the services read the public half as a JWKS
file. For development only: in production an OIDC issuer takes its place (KIELTO_JWKS, KIELTO_ISSUER).
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey

from deploy.local.install.files import write_private
from deploy.local.paths import HOME

ISSUER = "kielto-development"
AUDIENCE = "kielto"
ROLES = ("operator", "desk", "dpo", "campaigns", "register")
FOLDER = HOME / "issuer"


def key_set(folder: Path = FOLDER) -> Path:
    """The JWKS file with the issuer's public key."""
    file = folder / "jwks.json"
    public = _key(folder).as_dict(private=False)
    write_private(file, json.dumps({"keys": [public]}))
    return file


def issue(
    roles: Sequence[str],
    *,
    company: str | None = None,
    subject: str = "developer",
    seconds: float = 8 * 3600,
    folder: Path = FOLDER,
) -> str:
    """A signed token (ES256) for a company, or without one for the whole group, which it then claims."""
    now = int(time.time())
    claims: dict[str, object] = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "roles": list(roles)}
    claims |= {"iat": now, "exp": int(now + seconds)}
    claims |= {"group": True} if company is None else {"company": company}
    key = _key(folder)
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./kielto token", description="Print a bearer token for the services that ./kielto up runs."
    )
    parser.add_argument(
        "--role", action="append", choices=ROLES, help="a role of the caller; repeatable (default: all roles)"
    )
    parser.add_argument("--company", help="the company that the caller acts for (default: the whole group)")
    parser.add_argument("--subject", default="developer", help="the name of the caller (default: developer)")
    parser.add_argument(
        "--hours", type=float, default=8.0, help="how many hours the token is valid (default: 8)"
    )
    options = parser.parse_args(arguments)
    roles = options.role or ROLES
    print(issue(roles, company=options.company, subject=options.subject, seconds=options.hours * 3600))
    return 0


def _key(folder: Path) -> ECKey:
    file = folder / "private.json"
    if not file.exists():
        made = ECKey.generate_key("P-256", auto_kid=True)
        write_private(file, json.dumps(made.as_dict(private=True)), once=True)
    return ECKey.import_key(json.loads(file.read_text()))
